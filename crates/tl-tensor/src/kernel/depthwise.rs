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
    im2col::Windows,
    lanes::{LANES, joined},
    parallel::{self, simd},
};
use crate::{Elem, buffer::Buffer};

/// Numbers that a pass over a plane takes at once; buffers have as many to spare.
const STRIP: usize = 4 * LANES;
/// Planes of one task.
const PLANES: usize = 4;

/// Where a place of the kernel meets the split plane.
#[derive(Clone, Copy)]
struct Place {
    phase: usize,
    shift: usize,
}

/// A padded plane, split by phases: entry `(y, x)` of the padded plane is in phase
/// `(y mod stride, x mod stride)` at `(y / stride, x / stride)`.
struct Layout<'w> {
    windows: &'w Windows,
    /// Height and width of a phase, as far as windows reach.
    phase: [usize; 2],
    places: Vec<Place>,
}

impl<'w> Layout<'w> {
    fn of(windows: &'w Windows) -> Self {
        let w = windows;
        let along = |axis: usize, k: usize| {
            let at = k * w.dilation[axis];
            (at % w.stride[axis], at / w.stride[axis])
        };
        let phase = [0, 1].map(|axis| w.out[axis] + along(axis, w.kernel[axis] - 1).1);
        let places = (0..w.rows()).map(|place| {
            let ((a, down), (b, across)) =
                (along(0, place / w.kernel[1]), along(1, place % w.kernel[1]));
            Place { phase: a * w.stride[1] + b, shift: down * phase[1] + across }
        });
        Self { windows, phase, places: places.collect() }
    }

    fn phases(&self) -> usize {
        self.windows.stride[0] * self.windows.stride[1]
    }

    /// Numbers of a phase.
    fn size(&self) -> usize {
        self.phase[0] * self.phase[1]
    }

    /// Numbers of an output plane whose lines are as long as those of a phase.
    fn reach(&self) -> usize {
        (self.windows.out[0] - 1) * self.phase[1] + self.windows.out[1]
    }

    fn farthest(&self) -> usize {
        self.size() - self.reach()
    }

    /// Calls `f(entries of the plane, phase, entries of the phase)` for the runs of
    /// a phase's lines that lie in the plane: every `stride`-th entry of the one,
    /// neighbours in the other.
    #[inline(always)]
    fn each_line(&self, mut f: impl FnMut(usize, usize, std::ops::Range<usize>)) {
        let w = self.windows;
        let [height, width] = w.image;
        for a in 0..w.stride[0] {
            for line in 0..self.phase[0] {
                let y = (line * w.stride[0] + a).checked_sub(w.padding[0]).filter(|&y| y < height);
                let Some(y) = y else { continue };
                for b in 0..w.stride[1] {
                    let first = w.padding[1].saturating_sub(b).div_ceil(w.stride[1]);
                    let end = (width + w.padding[1]).saturating_sub(b).div_ceil(w.stride[1]);
                    let (first, end) = (first.min(self.phase[1]), end.min(self.phase[1]));
                    if first < end {
                        let x = first * w.stride[1] + b - w.padding[1];
                        let line = line * self.phase[1];
                        f(y * width + x, a * w.stride[1] + b, line + first..line + end);
                    }
                }
            }
        }
    }

    /// Copies a plane into the phases, whose other entries are 0 and stay so.
    fn split<E: Elem>(&self, plane: &[E], phases: &mut [E]) {
        let (size, step) = (self.size(), self.windows.stride[1]);
        simd(
            #[inline(always)]
            || {
                self.each_line(
                    #[inline(always)]
                    |from, phase, to| {
                        let into = &mut phases[phase * size..][to];
                        if step == 1 {
                            copy_line(into, &plane[from..], E::ZERO);
                        } else {
                            for (o, &x) in into.iter_mut().zip(plane[from..].iter().step_by(step)) {
                                *o = x;
                            }
                        }
                    },
                );
            },
        );
    }

    /// Copies lines as long as those of a phase to an output plane, and adds `bias`.
    fn narrow<E: Elem>(&self, wide: &[E], bias: E, plane: &mut [E]) {
        simd(
            #[inline(always)]
            || {
                let lines = plane.chunks_exact_mut(self.windows.out[1]);
                for (line, wide) in lines.zip(wide.chunks(self.phase[1])) {
                    copy_line(line, wide, bias);
                }
            },
        );
    }

    /// Copies an output plane so that its lines are as long as those of a phase.
    #[inline(always)]
    fn widen<E: Elem>(&self, plane: &[E], wide: &mut [E]) {
        for (line, wide) in
            plane.chunks_exact(self.windows.out[1]).zip(wide.chunks_mut(self.phase[1]))
        {
            wide[..line.len()].copy_from_slice(line);
        }
    }
}

/// `out[i] = x[i] + shift`. Lines are short: a last part that is no whole vector is
/// done again with what is before it.
#[inline(always)]
fn copy_line<E: Elem>(out: &mut [E], x: &[E], shift: E) {
    const PART: usize = 8;
    let length = out.len();
    if length < PART {
        for (o, &x) in out.iter_mut().zip(x) {
            *o = x + shift;
        }
        return;
    }
    let x = &x[..length];
    for at in (0..length).step_by(PART) {
        let at = at.min(length - PART);
        let (out, x) = (&mut out[at..at + PART], &x[at..at + PART]);
        for l in 0..PART {
            out[l] = x[l] + shift;
        }
    }
}

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

/// A buffer of `len` zeros and some to spare.
fn zeros<E: Elem>(len: usize) -> Buffer<E> {
    Buffer::filled(len.next_multiple_of(STRIP) + STRIP, E::ZERO)
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
    planes(
        out,
        w.columns(),
        g.work(),
        scratch,
        #[inline(always)]
        |i, out, (phases, wide, terms)| {
            let channel = i % g.groups;
            let (phases, wide) = (phases.as_mut_slice(), wide.as_mut_slice());
            layout.split(&x[i * g.input_size()..], phases);
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

pub(super) fn input_gradient<E: Elem>(g: &Geometry, grad: &[E], weight: &[E], out: &mut [E]) {
    let (w, rows) = (&g.windows, g.windows.rows());
    if out.is_empty() || rows == 0 || w.columns() == 0 {
        out.fill(E::ZERO);
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
                layout.each_line(|to, of, from| {
                    if of != phase {
                    } else if w.stride[1] == 1 {
                        let count = from.len();
                        copy_line(&mut out[to..to + count], &back[from], E::ZERO);
                    } else {
                        let into = out[to..].iter_mut().step_by(w.stride[1]);
                        for (out, &x) in into.zip(&back[from]) {
                            *out = x;
                        }
                    }
                });
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
            layout.split(&x[i * g.input_size()..], phases);
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
