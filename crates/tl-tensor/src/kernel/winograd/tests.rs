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
fn check<E: Elem>(g: &Geometry, tolerance: f64) {
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
    let plan = Plan::where_it_fits(g).unwrap();

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
    for shape in &shapes {
        check::<f64>(shape, 1e-10);
        check::<f32>(shape, 1e-4);
    }
}

/// The 16 places of a channel's tiles, as `fill` writes them.
#[cfg(target_arch = "x86_64")]
fn places_by(tiles: usize, fill: impl FnOnce([&mut [f32]; PLACES])) -> Vec<f32> {
    let mut all = vec![f32::NAN; PLACES * tiles];
    let mut chunks = all.chunks_exact_mut(tiles);
    fill(std::array::from_fn(|_| chunks.next().unwrap()));
    all
}

/// The ways that a machine prefers to others are tested on all that have them.
#[cfg(target_arch = "x86_64")]
#[test]
fn transforms_with_avx_agree_with_plain_loops() {
    let close = |what: &str, got: &[f32], want: &[f32]| {
        for (i, (a, b)) in got.iter().zip(want).enumerate() {
            let same = (a - b).abs() < 1e-5 || a.is_nan() && b.is_nan();
            assert!(same, "{what}[{i}]: {a}, not {b}");
        }
    };
    let widths = (7..20).flat_map(|width| (0..3).map(move |padding| (width, padding)));
    for (width, padding) in widths {
        let plan = Plan::where_it_fits(&geometry(5, [16, 17], [9, width], padding)).unwrap();
        if !avx::available(plan.tiles[1]) {
            continue;
        }
        // From within the first image to within the last one.
        let rows = 1..plan.rows() - 1;
        let tiles = rows.len() * plan.tiles[1];
        let narrow = |x: Vec<f64>| -> Vec<f32> { x.iter().map(|&x| x as f32).collect() };
        let x = narrow(waves(5 * 16 * 9 * width, 0.37));
        let grad = narrow(waves(5 * 17 * plan.to.size[0] * plan.to.size[1], 0.59));
        for channel in [0, 5] {
            // SAFETY: the machine has the instructions.
            let got = places_by(tiles, |places| unsafe {
                avx::input_tiles(&plan, &x, channel, rows.clone(), places);
            });
            let want = places_by(tiles, |places| {
                transform::input_tiles(&plan, &x, channel, rows.clone(), places);
            });
            close("input", &got, &want);
            // SAFETY: as above.
            let got = places_by(tiles, |places| unsafe {
                avx::gradient_tiles(&plan, &grad, channel, rows.clone(), places);
            });
            let want = places_by(tiles, |places| {
                transform::gradient_tiles(&plan, &grad, channel, rows.clone(), places);
            });
            close("gradient", &got, &want);

            let m: [&[f32]; PLACES] = std::array::from_fn(|i| &want[i * tiles..][..tiles]);
            let (mut got, mut want) = (vec![f32::NAN; grad.len()], vec![f32::NAN; grad.len()]);
            // SAFETY: as above; no one else has these slices.
            unsafe {
                let into = Disjoint::new(&mut got);
                avx::output_maps(&plan, m, channel, rows.clone(), 0.5, &into);
                let into = Disjoint::new(&mut want);
                transform::output_maps(&plan, m, channel, rows.clone(), 0.5, &into);
            }
            close("output", &got, &want);
        }
    }
}

#[test]
fn other_kernels_are_left_to_others() {
    let good = geometry(9, [16, 16], [7, 5], 1);
    assert!(Plan::where_it_fits(&good).is_some());
    let mut few = good;
    few.windows.channels = 3;
    let mut strided = good;
    strided.windows.stride = [2, 2];
    strided.windows.out = [4, 3];
    for other in [few, strided, Geometry { groups: 2, ..good }, Geometry { images: 1, ..good }] {
        assert!(Plan::where_it_fits(&other).is_none());
    }
}
