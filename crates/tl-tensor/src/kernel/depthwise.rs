//! Convolution of every channel with a kernel of its own.
//!
//! A product with a single row is no product: lines of the map are summed
//! directly, line by line in cache. Planes run side by side, and each sum has a
//! fixed order.

use super::{conv::Geometry, im2col::Windows, parallel};
use crate::Elem;
use std::ops::Range;

/// Where every place of the kernel meets the image, worked out once.
struct Lines {
    down: Vec<(usize, usize, usize)>,
    across: Vec<(usize, usize, usize)>,
    stride: usize,
    image: usize,
    out: usize,
}

impl Lines {
    fn of(w: &Windows) -> Self {
        let [down, across] = [w.along(0), w.along(1)];
        Self { down, across, stride: w.stride[0], image: w.image[1], out: w.out[1] }
    }

    /// Calls `f(place in the kernel, line of the output, line of the image)` where
    /// both lie inside; lines are ranges of their planes.
    #[inline(always)]
    fn each(&self, mut f: impl FnMut(usize, Range<usize>, usize)) {
        for (ky, &(top, bottom, y0)) in self.down.iter().enumerate() {
            for oy in top..bottom {
                let line = (y0 + (oy - top) * self.stride) * self.image;
                for (kx, &(left, right, x0)) in self.across.iter().enumerate() {
                    if left < right {
                        let place = ky * self.across.len() + kx;
                        f(place, oy * self.out + left..oy * self.out + right, line + x0);
                    }
                }
            }
        }
    }
}

/// `out += a * x`, every `step`-th of `x`.
#[inline(always)]
fn add_gathered<E: Elem>(out: &mut [E], a: E, x: &[E], step: usize) {
    match step {
        1 => out.iter_mut().zip(x).for_each(|(out, &x)| *out += a * x),
        2 => {
            let (pairs, rest) = x.as_chunks::<2>();
            let whole = out.len().min(pairs.len());
            let (head, tail) = out.split_at_mut(whole);
            head.iter_mut().zip(pairs).for_each(|(out, pair)| *out += a * pair[0]);
            tail.iter_mut().zip(rest).for_each(|(out, &x)| *out += a * x);
        }
        _ => out.iter_mut().zip(x.iter().step_by(step)).for_each(|(out, &x)| *out += a * x),
    }
}

/// `out += a * x`, to every `step`-th of `out`.
#[inline(always)]
fn add_spread<E: Elem>(out: &mut [E], a: E, x: &[E], step: usize) {
    match step {
        1 => out.iter_mut().zip(x).for_each(|(out, &x)| *out += a * x),
        _ => out.iter_mut().step_by(step).zip(x).for_each(|(out, &x)| *out += a * x),
    }
}

/// The inner product of `g` and every `step`-th of `x`.
#[inline(always)]
fn dot<E: Elem>(g: &[E], x: &[E], step: usize) -> E {
    const LANES: usize = 16;
    let mut sum = E::ZERO;
    if step != 1 {
        g.iter().zip(x.iter().step_by(step)).for_each(|(&g, &x)| sum += g * x);
        return sum;
    }
    let mut lanes = [E::ZERO; LANES];
    let ((g, g_rest), (x, x_rest)) = (g.as_chunks::<LANES>(), x.as_chunks::<LANES>());
    for (g, x) in g.iter().zip(x) {
        for l in 0..LANES {
            lanes[l] += g[l] * x[l];
        }
    }
    lanes.iter().for_each(|&lane| sum += lane);
    g_rest.iter().zip(x_rest).for_each(|(&g, &x)| sum += g * x);
    sum
}

/// The entries of the image from `at` on that a line of `len` windows covers.
fn reach(at: usize, len: usize, step: usize) -> Range<usize> {
    at..at + (len - 1) * step + 1
}

pub(super) fn forward<E: Elem>(
    g: &Geometry,
    x: &[E],
    weight: &[E],
    bias: Option<&[E]>,
    out: &mut [E],
) {
    let (w, rows, step) = (&g.windows, g.windows.rows(), g.windows.stride[1]);
    let lines = Lines::of(w);
    parallel::chunks(out, w.columns(), g.work(), |i, out| {
        let channel = i % g.groups;
        let (plane, weight) = (&x[i * g.input_size()..], &weight[channel * rows..]);
        out.fill(bias.map_or(E::ZERO, |bias| bias[channel]));
        parallel::simd(
            #[inline(always)]
            || {
                lines.each(|k, line, at| {
                    let x = &plane[reach(at, line.len(), step)];
                    add_gathered(&mut out[line], weight[k], x, step);
                });
            },
        );
    });
}

pub(super) fn input_gradient<E: Elem>(g: &Geometry, grad: &[E], weight: &[E], out: &mut [E]) {
    let (w, rows, step) = (&g.windows, g.windows.rows(), g.windows.stride[1]);
    let lines = Lines::of(w);
    parallel::chunks(out, g.input_size(), g.work(), |i, out| {
        let weight = &weight[i % g.groups * rows..];
        let grad = &grad[i * w.columns()..];
        out.fill(E::ZERO);
        parallel::simd(
            #[inline(always)]
            || {
                lines.each(|k, line, at| {
                    let into = &mut out[reach(at, line.len(), step)];
                    add_spread(into, weight[k], &grad[line], step);
                });
            },
        );
    });
}

pub(super) fn weight_gradient<E: Elem>(g: &Geometry, x: &[E], grad: &[E], out: &mut [E]) {
    let (w, step) = (&g.windows, g.windows.stride[1]);
    let lines = Lines::of(w);
    parallel::chunks(out, w.rows(), g.work(), |channel, out| {
        out.fill(E::ZERO);
        parallel::simd(
            #[inline(always)]
            || {
                for image in 0..g.images {
                    let i = image * g.groups + channel;
                    let (plane, grad) = (&x[i * g.input_size()..], &grad[i * w.columns()..]);
                    lines.each(|k, line, at| {
                        let x = &plane[reach(at, line.len(), step)];
                        out[k] += dot(&grad[line], x, step);
                    });
                }
            },
        );
    });
}
