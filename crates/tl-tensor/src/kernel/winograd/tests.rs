use super::*;
use crate::kernel::im2col::Windows;

/// Every output as a plain sum.
fn direct(g: &Geometry, x: &[f64], weight: &[f64], out: &mut [f64]) {
    each_product(g, |o, i, w| out[o] += x[i] * weight[w]);
}

/// Calls `f(output, input, weight)` for all products of a convolution.
fn each_product(g: &Geometry, mut f: impl FnMut(usize, usize, usize)) {
    let w = &g.windows;
    let ([height, width], [out_height, out_width]) = (w.image, w.out);
    for n in 0..g.images {
        for k in 0..g.out_channels {
            for (oy, ox) in (0..out_height).flat_map(|y| (0..out_width).map(move |x| (y, x))) {
                let o = ((n * g.out_channels + k) * out_height + oy) * out_width + ox;
                for c in 0..w.channels {
                    for (ky, kx) in (0..9).map(|i| (i / 3, i % 3)) {
                        let y = (oy + ky).wrapping_sub(w.padding[0]);
                        let x = (ox + kx).wrapping_sub(w.padding[1]);
                        if y < height && x < width {
                            let i = ((n * w.channels + c) * height + y) * width + x;
                            f(o, i, (k * w.channels + c) * 9 + 3 * ky + kx);
                        }
                    }
                }
            }
        }
    }
}

fn geometry(images: usize, channels: [usize; 2], image: [usize; 2], padding: usize) -> Geometry {
    let out = image.map(|size| size + 2 * padding - 2);
    let windows = Windows {
        channels: channels[0],
        image,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [padding; 2],
        dilation: [1, 1],
        out,
        above: 0,
    };
    Geometry { images, groups: 1, out_channels: channels[1], windows }
}

fn waves(count: usize, pitch: f64) -> Vec<f64> {
    (0..count).map(|i| (i as f64 * pitch).sin()).collect()
}

/// The three passes over one shape, against plain sums in `f64`.
fn check<E: Elem>(g: &Geometry, outputs: usize, tolerance: f64) {
    let plan = Plan::with(g, outputs);
    let narrow = |x: &[f64]| -> Vec<E> { x.iter().map(|&x| E::from_f64(x)).collect() };
    let nan = |count: usize| vec![E::from_f64(f64::NAN); count];
    let close = |what: &str, got: &[E], want: &[f64]| {
        for (i, (a, b)) in got.iter().zip(want).enumerate() {
            let a = a.to_f64();
            assert!((a - b).abs() < tolerance * (1.0 + b.abs()), "{what}[{i}]: {a}, not {b}");
        }
    };
    let w = &g.windows;
    let x = waves(g.images * w.channels * w.image[0] * w.image[1], 0.37);
    let weight = waves(g.out_channels * w.channels * 9, 0.73);
    let packed = Value::from_slice(&narrow(&weight), weight.len().into());
    let grad = waves(g.images * g.out_channels * w.out[0] * w.out[1], 0.59);
    let bias = waves(g.out_channels, 1.1);
    let mut want = vec![0.0; grad.len()];
    direct(g, &x, &weight, &mut want);
    let size = w.out[0] * w.out[1];
    want.iter_mut().enumerate().for_each(|(i, y)| *y += bias[i / size % g.out_channels]);
    let mut got = nan(grad.len());
    forward(&plan, &narrow(&x), &packed, Some(&narrow(&bias)), &mut got);
    close("forward", &got, &want);

    let mut want = vec![0.0; x.len()];
    each_product(g, |o, i, k| want[i] += grad[o] * weight[k]);
    let mut got = nan(x.len());
    input_gradient(&plan, &narrow(&grad), &packed, &mut got);
    close("input gradient", &got, &want);

    let mut want = vec![0.0; weight.len()];
    each_product(g, |o, i, k| want[k] += grad[o] * x[i]);
    let mut got = nan(weight.len());
    weight_gradient(&plan, &narrow(&x), &narrow(&grad), &mut got);
    close("weight gradient", &got, &want);
}

#[test]
fn all_passes_agree_with_plain_sums() {
    let mut shapes: Vec<_> = (0..3).map(|p| geometry(9, [16, 17], [7, 5], p)).collect();
    // Blocks that end within an image, and blocks of all threads.
    shapes.push(geometry(3, [16, 16], [41, 30], 1));
    shapes.push(geometry(3, [160, 130], [9, 8], 1));
    // Fewer tiles across than a register holds, and just as many.
    shapes.extend([2, 3, 4, 6, 8].map(|width| geometry(33, [17, 16], [3, width], 1)));
    for (shape, outputs) in shapes.iter().flat_map(|shape| [(shape, 2), (shape, 4)]) {
        check::<f64>(shape, outputs, 1e-10);
        check::<f32>(shape, outputs, 1e-4);
    }
}

/// Numbers between -1 and 1 without a pattern (Knuth's linear congruences).
fn noise(count: usize) -> impl Iterator<Item = f32> {
    let mut state = count as u64;
    (0..count).map(move |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}

/// Errors of the larger tiles, which stand against an `f64` sum, are at most twice those of
/// a plain `f32` sum in order.
#[test]
fn errors_are_near_those_of_plain_sums() {
    for channels in [64, 256] {
        let g = geometry(1, [channels, 16], [14, 14], 1);
        let x: Vec<f32> = noise(channels * 196).map(|x| x.max(0.0)).collect();
        let weight: Vec<f32> = noise(channels * 144).collect();
        let wide = |x: &[f32]| -> Vec<f64> { x.iter().map(|&x| f64::from(x)).collect() };
        let mut exact = vec![0.0; 16 * 196];
        direct(&g, &wide(&x), &wide(&weight), &mut exact);
        let mut plain = vec![0.0_f32; exact.len()];
        each_product(&g, |o, i, w| plain[o] += x[i] * weight[w]);
        let mut got = plain.clone();
        let kernels = Value::from_slice(&weight, weight.len().into());
        forward(&Plan::with(&g, 4), &x, &kernels, None, &mut got);
        let error = |y: &[f32]| {
            let squares = y.iter().zip(&exact).map(|(&y, e)| (f64::from(y) - e).powi(2));
            (squares.sum::<f64>() / exact.iter().map(|e| e * e).sum::<f64>()).sqrt()
        };
        let (got, plain) = (error(&got), error(&plain));
        assert!(got < 2.0 * plain, "{channels}: {got:e}, a plain sum {plain:e}");
    }
}

#[test]
fn other_kernels_are_left_to_others() {
    let good = geometry(9, [16, 16], [7, 5], 1);
    assert!(Plan::of(&good).is_some());
    let mut few = good;
    few.windows.channels = 3;
    let mut strided = good;
    strided.windows.stride = [2, 2];
    strided.windows.out = [4, 3];
    for other in [few, strided, Geometry { groups: 2, ..good }, Geometry { images: 1, ..good }] {
        assert!(Plan::of(&other).is_none());
    }
}
