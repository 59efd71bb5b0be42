//! Padded planes, split by phases: what a place of a kernel meets there is the
//! plane, shifted, whatever the stride.
//!
//! Entry `(y, x)` of the padded plane is in phase `(y mod stride, x mod stride)` at
//! `(y / stride, x / stride)`. All windows of a plane are then one long loop over
//! a phase, lines and edges included; what the loop makes of the end of one line
//! and the start of the next is dropped.

use super::{im2col::Windows, lanes::LANES, parallel::simd};
use crate::{Elem, buffer::Buffer};
use std::ops::Range;

/// Numbers that a pass over a plane takes at once; buffers have as many to spare.
pub(super) const STRIP: usize = 4 * LANES;

/// Where a place of the kernel meets the split plane.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) phase: usize,
    pub(super) shift: usize,
}

/// How windows, or a strip of them, meet the phases of a plane.
pub(super) struct Layout {
    pub(super) windows: Windows,
    /// Height and width of a phase, as far as windows reach.
    pub(super) phase: [usize; 2],
    /// Those of the kernel, line by line.
    pub(super) places: Vec<Place>,
    /// What a line of the plane has in the lines of its phases: the phase across, the
    /// entries of it, and the column of the first.
    across: Vec<(usize, Range<usize>, usize)>,
}

impl Layout {
    pub(super) fn of(windows: &Windows) -> Self {
        let w = *windows;
        let along = |axis: usize, k: usize| {
            let at = k * w.dilation[axis];
            (at % w.stride[axis], at / w.stride[axis])
        };
        let phase = [0, 1].map(|axis| w.out[axis] + along(axis, w.kernel[axis] - 1).1);
        let places = (0..w.kernel[0] * w.kernel[1]).map(|place| {
            let ((a, down), (b, across)) =
                (along(0, place / w.kernel[1]), along(1, place % w.kernel[1]));
            Place { phase: a * w.stride[1] + b, shift: down * phase[1] + across }
        });
        let across = (0..w.stride[1]).filter_map(|b| {
            let first = w.padding[1].saturating_sub(b).div_ceil(w.stride[1]);
            let end = (w.image[1] + w.padding[1]).saturating_sub(b).div_ceil(w.stride[1]);
            let (first, end) = (first.min(phase[1]), end.min(phase[1]));
            (first < end).then(|| (b, first..end, first * w.stride[1] + b - w.padding[1]))
        });
        let (places, across) = (places.collect(), across.collect());
        Self { windows: w, phase, places, across }
    }

    pub(super) fn phases(&self) -> usize {
        self.windows.stride[0] * self.windows.stride[1]
    }

    /// Numbers of a phase.
    pub(super) fn size(&self) -> usize {
        self.phase[0] * self.phase[1]
    }

    /// Numbers of an output plane whose lines are as long as those of a phase.
    pub(super) fn reach(&self) -> usize {
        (self.windows.out[0] - 1) * self.phase[1] + self.windows.out[1]
    }

    /// The largest shift of a place.
    pub(super) fn farthest(&self) -> usize {
        self.size() - self.reach()
    }

    /// Calls `f(entries of the plane, phase, entries of the phase)` for the runs of
    /// a phase's lines that lie in the plane: every `stride`-th entry of the one,
    /// neighbours in the other.
    #[inline(always)]
    pub(super) fn each_line(&self, mut f: impl FnMut(usize, usize, Range<usize>)) {
        let w = &self.windows;
        let [height, width] = w.image;
        for a in 0..w.stride[0] {
            for line in 0..self.phase[0] {
                let y = (w.above + line) * w.stride[0] + a;
                let Some(y) = y.checked_sub(w.padding[0]).filter(|&y| y < height) else { continue };
                let line = line * self.phase[1];
                for (b, entries, x) in &self.across {
                    let phase = a * w.stride[1] + b;
                    f(y * width + x, phase, line + entries.start..line + entries.end);
                }
            }
        }
    }

    /// Copies a plane into its phases, which are `step` apart and whose other
    /// entries are left as they are.
    pub(super) fn split<E: Elem>(&self, plane: &[E], phases: &mut [E], step: usize) {
        simd(
            #[inline(always)]
            || {
                self.each_line(
                    #[inline(always)]
                    |from, phase, to| {
                        let into = &mut phases[phase * step..][to];
                        match self.windows.stride[1] {
                            1 => copy_line(into, &plane[from..], E::ZERO),
                            2 => every_other(into, &plane[from..]),
                            by => {
                                for (o, &x) in into.iter_mut().zip(plane[from..].iter().step_by(by))
                                {
                                    *o = x;
                                }
                            }
                        }
                    },
                );
            },
        );
    }

    /// Copies lines as long as those of a phase to an output plane, and adds `bias`.
    pub(super) fn narrow<E: Elem>(&self, wide: &[E], bias: E, plane: &mut [E]) {
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
    pub(super) fn widen<E: Elem>(&self, plane: &[E], wide: &mut [E]) {
        for (line, wide) in
            plane.chunks_exact(self.windows.out[1]).zip(wide.chunks_mut(self.phase[1]))
        {
            wide[..line.len()].copy_from_slice(line);
        }
    }

    /// Copies a phase to its entries of the plane.
    #[inline(always)]
    pub(super) fn put_back<E: Elem>(&self, phase: usize, entries: &[E], plane: &mut [E]) {
        let by = self.windows.stride[1];
        self.each_line(
            #[inline(always)]
            |to, of, from| {
                if of != phase {
                } else if by == 1 {
                    let count = from.len();
                    copy_line(&mut plane[to..to + count], &entries[from], E::ZERO);
                } else {
                    for (out, &x) in plane[to..].iter_mut().step_by(by).zip(&entries[from]) {
                        *out = x;
                    }
                }
            },
        );
    }
}

/// `out[i] = x[2 i]`.
#[inline(always)]
fn every_other<E: Elem>(out: &mut [E], x: &[E]) {
    let pairs = x.as_chunks::<2>().0;
    let whole = out.len().min(pairs.len());
    for (o, pair) in out[..whole].iter_mut().zip(pairs) {
        *o = pair[0];
    }
    if whole < out.len() {
        out[whole] = x[2 * whole];
    }
}

/// `out[i] = x[i] + shift`. Lines are short: a last part that is no whole vector is
/// done again with what is before it.
#[inline(always)]
fn copy_line<E: Elem>(out: &mut [E], x: &[E], shift: E) {
    let x = &x[..out.len()];
    match out.len() {
        LANES.. => copy_parts::<E, LANES>(out, x, shift),
        8.. => copy_parts::<E, 8>(out, x, shift),
        _ => out.iter_mut().zip(x).for_each(|(o, &x)| *o = x + shift),
    }
}

// One index into several lanes at once.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
fn copy_parts<E: Elem, const PART: usize>(out: &mut [E], x: &[E], shift: E) {
    for at in (0..out.len()).step_by(PART) {
        let at = at.min(out.len() - PART);
        let (out, x) = (&mut out[at..at + PART], &x[at..at + PART]);
        for l in 0..PART {
            out[l] = x[l] + shift;
        }
    }
}

/// A buffer of `len` zeros and some to spare.
pub(super) fn zeros<E: Elem>(len: usize) -> Buffer<E> {
    Buffer::filled(len.next_multiple_of(STRIP) + STRIP, E::ZERO)
}
