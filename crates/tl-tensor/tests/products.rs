//! Products and convolutions of random shapes against plain loops.

use proptest::prelude::*;
use tl_tensor::{Conv, Tensor};

fn wave(dims: &[usize], speed: f64) -> Tensor<f64> {
    let count = dims.iter().product::<usize>();
    let data = (0..count).map(|i| (i as f64 * speed).sin()).collect();
    Tensor::from_vec(data, tl_tensor::Shape::new(dims).unwrap()).unwrap()
}

fn close(got: &[f64], want: &[f64]) -> Result<(), TestCaseError> {
    prop_assert_eq!(got.len(), want.len());
    for (a, b) in got.iter().zip(want) {
        prop_assert!((a - b).abs() < 1e-10, "{} is not {}", a, b);
    }
    Ok(())
}

/// Where each kernel place of an output place lies in the image, or none.
fn source(out: usize, k: usize, stride: usize, dilation: usize, padding: usize) -> Option<usize> {
    (out * stride + k * dilation).checked_sub(padding)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn products(
        batch in 1..4_usize,
        [m, k, n] in [1..40_usize, 0..40_usize, 1..40_usize],
        turned: [bool; 2],
        shared: bool,
    ) {
        let lay = |rows: usize, columns: usize, turned: bool, speed, batch: usize| {
            if turned {
                wave(&[batch, columns, rows], speed).transpose(1, 2).unwrap()
            } else {
                wave(&[batch, rows, columns], speed)
            }
        };
        let a = lay(m, k, turned[0], 0.37, batch);
        let b = lay(k, n, turned[1], 0.73, if shared { 1 } else { batch });
        let got = a.matmul(&b).unwrap();
        prop_assert_eq!(got.dims(), [batch, m, n]);
        let (av, bv) = (a.to_vec(), b.to_vec());
        let mut want = Vec::new();
        for s in 0..batch {
            let t = if shared { 0 } else { s };
            for r in 0..m {
                for c in 0..n {
                    let term = |i: usize| av[(s * m + r) * k + i] * bv[(t * k + i) * n + c];
                    want.push((0..k).map(term).sum::<f64>());
                }
            }
        }
        close(&got.to_vec(), &want)?;
    }

    #[test]
    fn convolutions(
        images in 1..20_usize,
        groups in 1..4_usize,
        [inputs, outputs] in [1..4_usize, 1..4_usize],
        size in [1..9_usize, 1..9_usize],
        kernel in [1..4_usize, 1..4_usize],
        stride in [1..4_usize, 1..4_usize],
        dilation in [1..3_usize, 1..3_usize],
        padding in [0..3_usize, 0..3_usize],
    ) {
        let room = |a: usize| {
            (size[a] + 2 * padding[a]).checked_sub(dilation[a] * (kernel[a] - 1) + 1)
        };
        let (Some(h), Some(w)) = (room(0), room(1)) else { return Ok(()) };
        let out = [h / stride[0] + 1, w / stride[1] + 1];
        let x = wave(&[images, inputs * groups, size[0], size[1]], 0.7);
        let weight = wave(&[outputs * groups, inputs, kernel[0], kernel[1]], 0.3);
        let conv = Conv::new().strides(stride).paddings(padding).dilations(dilation).groups(groups);
        let got = conv.conv2d(&x, &weight, None).unwrap();
        prop_assert_eq!(got.dims(), [images, outputs * groups, out[0], out[1]]);
        let (xv, wv) = (x.to_vec(), weight.to_vec());
        let mut want = Vec::new();
        for image in 0..images {
            for o in 0..outputs * groups {
                for oy in 0..out[0] {
                    for ox in 0..out[1] {
                        let mut sum = 0.0;
                        for c in 0..inputs {
                            let channel = o / outputs * inputs + c;
                            let plane = (image * inputs * groups + channel) * size[0] * size[1];
                            for ky in 0..kernel[0] {
                                for kx in 0..kernel[1] {
                                    let y = source(oy, ky, stride[0], dilation[0], padding[0]);
                                    let x = source(ox, kx, stride[1], dilation[1], padding[1]);
                                    let (Some(y), Some(x)) = (y, x) else { continue };
                                    if y < size[0] && x < size[1] {
                                        let place = ((o * inputs + c) * kernel[0] + ky) * kernel[1];
                                        sum += xv[plane + y * size[1] + x] * wv[place + kx];
                                    }
                                }
                            }
                        }
                        want.push(sum);
                    }
                }
            }
        }
        close(&got.to_vec(), &want)?;
    }
}
