//! All ways to convolve `f32`, against plain sums in `f64`.

use crate::{
    Value,
    kernel::{
        conv::{Geometry, forward, input_gradient, weight_gradient},
        im2col::Windows,
        strided::Strided,
        whole,
    },
};

/// Calls `f(output, input, weight)` for all products of a convolution.
fn each_product(g: &Geometry, mut f: impl FnMut(usize, usize, usize)) {
    let w = &g.windows;
    let [height, width] = w.image;
    let area = w.kernel[0] * w.kernel[1];
    for image in 0..g.images {
        for k in 0..g.groups * g.out_channels {
            let group = k / g.out_channels;
            for place in 0..w.out[0] * w.out[1] {
                let at = [place / w.out[1], place % w.out[1]];
                let o = (image * g.groups * g.out_channels + k) * w.out[0] * w.out[1] + place;
                for c in 0..w.channels {
                    for p in 0..area {
                        let of = [p / w.kernel[1], p % w.kernel[1]];
                        let [y, x] = [0, 1].map(|a| {
                            (at[a] * w.stride[a] + of[a] * w.dilation[a]).wrapping_sub(w.padding[a])
                        });
                        if y < height && x < width {
                            let map = (image * g.groups + group) * w.channels + c;
                            let i = (map * height + y) * width + x;
                            f(o, i, (k * w.channels + c) * area + p);
                        }
                    }
                }
            }
        }
    }
}

fn waves(count: usize, pitch: f64) -> Vec<f64> {
    (0..count).map(|i| (i as f64 * pitch).sin()).collect()
}

fn narrow(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&x| x as f32).collect()
}

fn value(x: &[f64]) -> Value<f32> {
    Value::from_slice(&narrow(x), x.len().into())
}

/// Sums of many terms may be off by more.
fn close(what: &str, terms: usize, got: &[f32], want: &[f64]) {
    let tolerance = 2e-5 * (terms as f64 / 256.0).max(1.0).sqrt();
    for (i, (&a, &b)) in got.iter().zip(want).enumerate() {
        let a = f64::from(a);
        assert!((a - b).abs() < tolerance * (1.0 + b.abs()), "{what}[{i}]: {a}, not {b}");
    }
}

fn check(g: &Geometry) {
    let w = &g.windows;
    let x = waves(g.images * g.groups * w.channels * w.image[0] * w.image[1], 0.37);
    let size = w.kernel[0] * w.kernel[1];
    let weight = waves(g.groups * g.out_channels * w.channels * size, 0.73);
    let maps = w.out[0] * w.out[1];
    let grad = waves(g.images * g.groups * g.out_channels * maps, 0.59);
    let bias = waves(g.groups * g.out_channels, 1.1);

    let mut want: Vec<f64> = (0..grad.len()).map(|i| bias[i / maps % bias.len()]).collect();
    each_product(g, |o, i, k| want[o] += x[i] * weight[k]);
    let mut got = vec![f32::NAN; grad.len()];
    forward(g, &value(&x), &value(&weight), Some(&narrow(&bias)), &mut got);
    close("output", g.windows.rows(), &got, &want);

    let mut want = vec![0.0; x.len()];
    each_product(g, |o, i, k| want[i] += grad[o] * weight[k]);
    let mut got = vec![f32::NAN; x.len()];
    input_gradient(g, &value(&grad), &value(&weight), &mut got);
    close("gradient of the input", g.out_channels * size, &got, &want);

    let mut want = vec![0.0; weight.len()];
    each_product(g, |o, i, k| want[k] += grad[o] * x[i]);
    let mut got = vec![f32::NAN; weight.len()];
    weight_gradient(g, &value(&x), &value(&grad), &mut got);
    close("gradient of the weight", g.images * maps, &got, &want);
    let mut got = vec![0.0; weight.len()];
    if super::weight_gradient(g, &narrow(&x), &narrow(&grad), &mut got) {
        close("direct gradient of the weight", g.images * maps, &got, &want);
    }
}

/// Kernel, stride, padding and dilation; outputs that fit.
fn geometry(images: usize, channels: [usize; 2], image: [usize; 2], axis: [usize; 4]) -> Geometry {
    let [kernel, stride, padding, dilation] = axis;
    let out = image.map(|size| (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1);
    let windows = Windows {
        channels: channels[0],
        image,
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [padding; 2],
        dilation: [dilation; 2],
        out,
        above: 0,
    };
    Geometry { images, groups: 1, out_channels: channels[1], windows }
}

#[test]
fn direct_kernels_agree_with_plain_sums() {
    // Several blocks of channels, part of one; lots of images, and a last lot that
    // is smaller; strides that leave pixels out; windows beyond both edges.
    check(&geometry(1, [20, 70], [9, 11], [5, 2, 2, 1]));
    check(&geometry(9, [16, 64], [5, 7], [4, 3, 1, 1]));
    check(&geometry(2, [13, 12], [12, 40], [5, 1, 2, 1]));
    check(&geometry(3, [40, 17], [11, 8], [3, 2, 0, 2]));
    check(&geometry(6, [18, 33], [8, 8], [3, 2, 1, 1]));
}

#[test]
fn a_large_weight_is_summed_block_by_block() {
    let g = geometry(2, [240, 260], [3, 3], [3, 2, 1, 1]);
    assert!(g.out_channels * g.windows.rows() > super::OWN_SUM);
    check(&g);
}

#[test]
fn one_product_for_all_images_agrees_with_plain_sums() {
    // More channels than a task writes and a part of it; strides, dilations and windows
    // beyond the edges; a single image.
    for g in [
        geometry(3, [200, 150], [2, 3], [3, 1, 1, 1]),
        geometry(2, [120, 90], [7, 5], [5, 2, 1, 1]),
        geometry(1, [300, 100], [4, 4], [3, 1, 2, 2]),
    ] {
        assert!(whole::fits(&g));
        check(&g);
    }
    assert!(!whole::fits(&geometry(2, [20, 30], [2, 3], [3, 1, 1, 1])));
    assert!(!whole::fits(&geometry(9, [200, 150], [8, 8], [3, 1, 1, 1])));
}

#[test]
fn large_maps_are_worked_off_in_strips() {
    check(&geometry(1, [8, 64], [70, 90], [5, 2, 2, 1]));
}

#[test]
fn strided_kernels_by_phases_agree_with_plain_sums() {
    // Odd and even sizes, pixels after the last window, windows beyond both edges.
    for (image, padding) in [([19, 22], 2), ([20, 21], 0), ([23, 18], 1), ([17, 17], 4)] {
        let g = geometry(7, [16, 20], image, [5, 2, padding, 1]);
        assert!(Strided::of(&g).is_some());
        check(&g);
    }
    let good = geometry(7, [16, 20], [19, 22], [5, 2, 2, 1]);
    let few = Geometry { images: 1, ..good };
    let dilated = geometry(7, [16, 20], [19, 22], [5, 2, 2, 2]);
    for other in [geometry(7, [16, 20], [19, 22], [3, 2, 1, 1]), few, dilated] {
        assert!(Strided::of(&other).is_none());
    }
}

#[test]
fn channels_of_their_own_agree_with_plain_sums() {
    for (image, axis) in [
        ([9, 18], [3, 1, 1, 1]),
        ([17, 33], [3, 1, 0, 1]),
        ([6, 20], [3, 1, 2, 1]),
        ([9, 18], [3, 2, 1, 1]),
        ([7, 7], [3, 1, 1, 1]),
        ([20, 20], [5, 1, 2, 1]),
        ([20, 20], [3, 1, 2, 2]),
    ] {
        check(&Geometry { groups: 5, ..geometry(3, [1, 1], image, axis) });
    }
}
