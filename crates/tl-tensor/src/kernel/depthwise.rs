//! Convolution of every channel with a kernel of its own.
//!
//! A product with a single row is no product. Instead each plane is copied once
//! with its padding, split by phases where there is a stride; then what a place of
//! the kernel meets is that copy, shifted, and the whole plane is one long loop
//! for all places of the kernel, lines and edges included. Planes run side by
//! side, and each sum has a fixed order.
// One index into several lanes at once.
#![allow(clippy::needless_range_loop)]

use super::{
    conv::Geometry,
    disjoint::{cast, cast_mut},
    im2col::Windows,
    lanes::{LANES, joined},
    parallel::{self, simd},
    phases::{Layout, STRIP, zeros},
};
use crate::Elem;
use pulp::Arch;

mod lines;

/// Planes of one task.
const PLANES: usize = 4;

/// `out[i] = Σ weight · x[i + shift]` over `terms` of shift and weight. Both have
/// [`STRIP`] numbers more than needed.
fn shifted_sums<E: Elem>(out: &mut [E], x: &[E], terms: &[(usize, E)]) {
    simd(
        #[inline(always)]
        || {
            for (strip, out) in out.as_chunks_mut::<STRIP>().0.iter_mut().enumerate() {
                let mut sums = [E::ZERO; STRIP];
                for &(shift, weight) in terms {
                    let x = &x[strip * STRIP + shift..][..STRIP];
                    for l in 0..STRIP {
                        sums[l] += weight * x[l];
                    }
                }
                *out = sums;
            }
        },
    );
}

/// Adds `grad · x[shift..]` to a sum for each of `shifts`, in lanes. Both slices
/// have [`STRIP`] numbers more than needed.
fn shifted_products<E: Elem>(
    sums: &mut [[E; LANES]],
    grad: &[E],
    x: &[E],
    shifts: impl Iterator<Item = usize>,
) {
    simd(
        #[inline(always)]
        || {
            for (sum, shift) in sums.iter_mut().zip(shifts) {
                let mut own = *sum;
                let pairs =
                    grad.as_chunks::<LANES>().0.iter().zip(x[shift..].as_chunks::<LANES>().0);
                for (grad, x) in pairs {
                    for l in 0..LANES {
                        own[l] += grad[l] * x[l];
                    }
                }
                *sum = own;
            }
        },
    );
}

/// Calls `f(plane's number, plane)` for all planes of `out`, several in a task;
/// `scratch` makes what the planes of a task share.
fn planes<E: Elem, S>(
    out: &mut [E],
    size: usize,
    work: usize,
    scratch: impl Fn() -> S + Sync + Send,
    f: impl Fn(usize, &mut [E], &mut S) + Sync + Send,
) {
    parallel::chunks(out, PLANES * size, work, |task, out| {
        let mut scratch = scratch();
        for (i, out) in out.chunks_mut(size.max(1)).enumerate() {
            f(task * PLANES + i, out, &mut scratch);
        }
    });
}

pub(super) fn forward<E: Elem>(
    g: &Geometry,
    x: &[E],
    weight: &[E],
    bias: Option<&[E]>,
    out: &mut [E],
) {
    let (w, rows) = (&g.windows, g.windows.rows());
    if out.is_empty() || rows == 0 {
        out.fill(E::ZERO);
        return;
    }
    let layout = Layout::of(w);
    let (size, reach) = (layout.size(), layout.reach());
    let scratch = || (zeros(layout.phases() * size), zeros(reach), Vec::with_capacity(rows));
    let by_lines = cast::<E, f32>(x).is_some() && lines::fit(w);
    planes(
        out,
        w.columns(),
        g.work(),
        scratch,
        #[inline(always)]
        |i, out, (phases, wide, terms)| {
            let channel = i % g.groups;
            let (phases, wide) = (phases.as_mut_slice(), wide.as_mut_slice());
            layout.split(&x[i * g.input_size()..], phases, size);
            let own = &weight[channel * rows..][..rows];
            if by_lines && sum_lines(&layout, phases, own, bias.map(|b| b[channel]), out) {
                return;
            }
            terms.clear();
            let places = layout.places.iter().zip(&weight[channel * rows..]);
            terms.extend(places.map(|(p, &weight)| (p.phase * size + p.shift, weight)));
            let strips = reach.next_multiple_of(STRIP);
            shifted_sums(&mut wide[..strips], phases, terms);
            let bias = bias.map_or(E::ZERO, |bias| bias[channel]);
            layout.narrow(wide, bias, out);
        },
    );
}

/// [`lines::Lines`] of a plane; whether its numbers are `f32`.
fn sum_lines<E: Elem>(
    layout: &Layout,
    padded: &[E],
    weight: &[E],
    bias: Option<E>,
    out: &mut [E],
) -> bool {
    let bias = [bias.unwrap_or(E::ZERO)];
    let (Some(padded), Some(weight), Some(&[bias]), Some(out)) =
        (cast(padded), cast(weight), cast(&bias), cast_mut(out))
    else {
        return false;
    };
    let Ok(weight) = weight.try_into() else { return false };
    let (padded_width, width) = (layout.phase[1], layout.windows.out[1]);
    Arch::new().dispatch(lines::Lines { padded, padded_width, weight, bias, out, width });
    true
}

pub(super) fn input_gradient<E: Elem>(g: &Geometry, grad: &[E], weight: &[E], out: &mut [E]) {
    let (w, rows) = (&g.windows, g.windows.rows());
    if out.is_empty() || rows == 0 || w.columns() == 0 {
        out.fill(E::ZERO);
        return;
    }
    if cast::<E, f32>(grad).is_some() && w.padding.iter().all(|&p| p < 3) && lines::fit(w) {
        let (image, padding) = (w.out, w.padding.map(|p| 2 - p));
        let back = Geometry { windows: Windows { image, padding, out: w.image, ..*w }, ..*g };
        let turned: Vec<E> = weight.chunks(rows).flat_map(|w| w.iter().rev()).copied().collect();
        forward(&back, grad, &turned, None, out);
        return;
    }
    let layout = Layout::of(w);
    let (size, lead) = (layout.size(), layout.farthest());
    let scratch = || (zeros(lead + size), zeros(size), Vec::with_capacity(rows));
    planes(
        out,
        g.input_size(),
        g.work(),
        scratch,
        #[inline(always)]
        |i, out, (wide, back, terms)| {
            let weight = &weight[i % g.groups * rows..][..rows];
            layout.widen(&grad[i * w.columns()..][..w.columns()], &mut wide.as_mut_slice()[lead..]);
            out.fill(E::ZERO);
            let back = &mut back.as_mut_slice()[..size.next_multiple_of(STRIP)];
            for phase in 0..layout.phases() {
                terms.clear();
                let places = layout.places.iter().zip(weight).filter(|(p, _)| p.phase == phase);
                terms.extend(places.map(|(p, &weight)| (lead - p.shift, weight)));
                shifted_sums(back, wide.as_slice(), terms);
                layout.put_back(phase, back, out);
            }
        },
    );
}

pub(super) fn weight_gradient<E: Elem>(g: &Geometry, x: &[E], grad: &[E], out: &mut [E]) {
    let (w, rows) = (&g.windows, g.windows.rows());
    out.fill(E::ZERO);
    if out.is_empty() || w.columns() == 0 {
        return;
    }
    let layout = Layout::of(w);
    let (size, reach) = (layout.size(), layout.reach());
    parallel::chunks(out, rows, g.work(), |channel, out| {
        let (mut phases, mut wide) = (zeros(layout.phases() * size), zeros(reach));
        let (phases, wide) = (phases.as_mut_slice(), wide.as_mut_slice());
        let mut sums = vec![[E::ZERO; LANES]; rows];
        for image in 0..g.images {
            let i = image * g.groups + channel;
            layout.split(&x[i * g.input_size()..], phases, size);
            layout.widen(&grad[i * w.columns()..][..w.columns()], wide);
            let shifts = layout.places.iter().map(|place| place.phase * size + place.shift);
            let wide = &wide[..reach.next_multiple_of(LANES)];
            shifted_products(&mut sums, wide, phases, shifts);
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = joined(sum, |a, b| a + b);
        }
    });
}
