//! Windows of an image as columns of a matrix, and back.

use super::parallel::simd;
use crate::{Elem, buffer::Buffer};

/// How windows lie in an image of several channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    pub(crate) channels: usize,
    /// Height and width of the image.
    pub(crate) image: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
    pub(crate) dilation: [usize; 2],
    /// Rows and columns of windows.
    pub(crate) out: [usize; 2],
    /// Rows of windows above the first of these.
    pub(crate) above: usize,
}

impl Windows {
    /// Rows of the matrix: elements of a window over all channels.
    pub(crate) fn rows(&self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
    }

    /// Columns of the matrix: windows.
    pub(crate) fn columns(&self) -> usize {
        self.out[0] * self.out[1]
    }

    /// Whether the matrix is the image itself.
    pub(crate) fn is_identity(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0]
    }

    /// The window positions `from..to` along axis `a` at which kernel place `k`
    /// lies inside of the image, and the image place of the first.
    fn inside(&self, a: usize, k: usize) -> (usize, usize, usize) {
        let (stride, shift) = (self.stride[a], k * self.dilation[a]);
        let above = if a == 0 { self.above } else { 0 };
        let from = self.padding[a].saturating_sub(shift).div_ceil(stride).max(above);
        let limit = self.image[a] + self.padding[a];
        let to = limit.saturating_sub(shift).div_ceil(stride).min(above + self.out[a]);
        let from = from.min(to.max(above));
        let first = (from * stride + shift).wrapping_sub(self.padding[a]);
        (from - above, to.max(above) - above, first)
    }

    /// The same windows in strips of at most `lines` rows.
    pub(super) fn strips(&self, lines: usize) -> impl Iterator<Item = Self> + use<> {
        let whole = *self;
        (0..whole.out[0]).step_by(lines.max(1)).map(move |above| Self {
            out: [lines.min(whole.out[0] - above), whole.out[1]],
            above,
            ..whole
        })
    }

    /// The lines of the image that windows meet.
    fn lines(&self) -> std::ops::Range<usize> {
        let first = self.above * self.stride[0];
        let last = first
            + (self.out[0].max(1) - 1) * self.stride[0]
            + (self.kernel[0].max(1) - 1) * self.dilation[0]
            + 1;
        let inside = |y: usize| y.saturating_sub(self.padding[0]).min(self.image[0]);
        inside(first)..inside(last)
    }

    /// Whether a window's place in the plane, or in one of its phases, moves as
    /// the window does: then a row of the matrix is that plane, shifted.
    fn is_shift(&self) -> bool {
        let width = if self.has_phases() { self.phase()[1] } else { self.image[1] };
        (self.stride == [1, 1] || self.has_phases()) && self.out[1] == width
    }

    /// Whether kernel places that share a phase make it worth while to split a
    /// plane by phases first: what is `stride` apart then lies side by side.
    fn has_phases(&self) -> bool {
        self.stride[1] > 1 && self.kernel[0] * self.kernel[1] > self.stride[0] * self.stride[1]
    }

    /// Height and width of a phase.
    fn phase(&self) -> [usize; 2] {
        [self.image[0].div_ceil(self.stride[0]), self.image[1].div_ceil(self.stride[1])]
    }

    /// Room for the phases of a plane.
    fn phases<E: Elem>(&self) -> Buffer<E> {
        let [height, width] = self.phase();
        let count = if self.has_phases() { self.stride[0] * self.stride[1] } else { 0 };
        Buffer::scratch(count * height * width)
    }

    /// Where entry `(y, x)` of a plane lies among its phases.
    #[inline(always)]
    fn in_phase(&self, y: usize, x: usize) -> usize {
        let ([sy, sx], [height, width]) = (self.stride, self.phase());
        ((y % sy * sx + x % sx) * height + y / sy) * width + x / sx
    }

    /// [`inside`](Self::inside) for every kernel place along axis `a`.
    pub(super) fn along(&self, a: usize) -> Vec<(usize, usize, usize)> {
        (0..self.kernel[a]).map(|k| self.inside(a, k)).collect()
    }
}

/// The entries of a shifted plane that came from the lines before and after:
/// right of `right` in each line but the last, left of `left` in the next one.
#[inline(always)]
fn clear_seams<E: Elem>(row: &mut [E], width: usize, lines: (usize, usize), edge: (usize, usize)) {
    let ((top, bottom), (left, right)) = (lines, edge);
    for line in top + 1..bottom {
        row[(line - 1) * width + right..line * width + left].fill(E::ZERO);
    }
}

/// Writes the windows of `image` (channels × height × width) as columns of
/// `matrix`, whose rows have `length` entries: from `at` on.
pub(crate) fn im2col<E: Elem>(
    w: &Windows,
    image: &[E],
    matrix: &mut [E],
    length: usize,
    at: usize,
) {
    simd(
        #[inline(always)]
        || im2col_lines(w, image, matrix, length, at),
    );
}

#[inline(always)]
fn im2col_lines<E: Elem>(w: &Windows, image: &[E], matrix: &mut [E], length: usize, at: usize) {
    let [height, width] = w.image;
    let [out_height, out_width] = w.out;
    let (down, across) = (w.along(0), w.along(1));
    let mut rows = matrix.chunks_exact_mut(length.max(1));
    let mut phases = w.phases();
    let phases = phases.as_mut_slice();
    for channel in 0..w.channels {
        let plane = &image[channel * height * width..][..height * width];
        if w.has_phases() {
            for y in w.lines() {
                let line = &plane[y * width..(y + 1) * width];
                for first in 0..w.stride[1].min(width) {
                    let phase = &mut phases[w.in_phase(y, first)..];
                    for (p, x) in phase.iter_mut().zip(line[first..].iter().step_by(w.stride[1])) {
                        *p = *x;
                    }
                }
            }
        }
        for &(top, bottom, y0) in &down {
            for &(left, right, x0) in &across {
                let Some(row) = rows.next() else { return };
                let row = &mut row[at..at + out_height * out_width];
                if top == bottom || left == right {
                    row.fill(E::ZERO);
                    continue;
                }
                let (first, end) = (top * out_width + left, (bottom - 1) * out_width + right);
                row[..first].fill(E::ZERO);
                row[end..].fill(E::ZERO);
                if w.is_shift() {
                    let source = if w.has_phases() {
                        &phases[w.in_phase(y0, x0)..]
                    } else {
                        &plane[y0 * width + x0..]
                    };
                    row[first..end].copy_from_slice(&source[..end - first]);
                    clear_seams(row, out_width, (top, bottom), (left, right));
                    continue;
                }
                for oy in top..bottom {
                    let line = &mut row[oy * out_width..(oy + 1) * out_width];
                    line[..left].fill(E::ZERO);
                    line[right..].fill(E::ZERO);
                    let (y, line) = (y0 + (oy - top) * w.stride[0], &mut line[left..right]);
                    let from = y * width + x0;
                    if w.has_phases() {
                        line.copy_from_slice(&phases[w.in_phase(y, x0)..][..line.len()]);
                    } else if w.stride[1] == 1 {
                        line.copy_from_slice(&plane[from..from + line.len()]);
                    } else {
                        for (o, x) in line.iter_mut().zip(plane[from..].iter().step_by(w.stride[1]))
                        {
                            *o = *x;
                        }
                    }
                }
            }
        }
    }
}

/// Adds the columns from `at` on of `matrix`, whose rows have `length` entries,
/// to their places in `image`: the adjoint of [`im2col`]. The matrix is used up.
pub(crate) fn col2im<E: Elem>(
    w: &Windows,
    matrix: &mut [E],
    image: &mut [E],
    length: usize,
    at: usize,
) {
    simd(
        #[inline(always)]
        || col2im_lines(w, matrix, image, length, at),
    );
}

#[inline(always)]
fn col2im_lines<E: Elem>(w: &Windows, matrix: &mut [E], image: &mut [E], length: usize, at: usize) {
    let [height, width] = w.image;
    let [out_height, out_width] = w.out;
    let (down, across) = (w.along(0), w.along(1));
    let mut rows = matrix.chunks_exact_mut(length.max(1));
    let mut phases = w.phases();
    let phases = phases.as_mut_slice();
    for channel in 0..w.channels {
        let plane = &mut image[channel * height * width..][..height * width];
        if w.has_phases() {
            let [lines, across] = w.phase();
            let from = w.lines().start / w.stride[0];
            let to = w.lines().end.div_ceil(w.stride[0]);
            for phase in phases.chunks_exact_mut((lines * across).max(1)) {
                phase[from * across..to * across].fill(E::ZERO);
            }
        }
        for &(top, bottom, y0) in &down {
            for &(left, right, x0) in &across {
                let Some(row) = rows.next() else { return };
                if top == bottom || left == right {
                    continue;
                }
                let row = &mut row[at..at + out_height * out_width];
                if w.is_shift() {
                    clear_seams(row, out_width, (top, bottom), (left, right));
                    let row = &row[top * out_width + left..(bottom - 1) * out_width + right];
                    let target = if w.has_phases() {
                        &mut phases[w.in_phase(y0, x0)..]
                    } else {
                        &mut plane[y0 * width + x0..]
                    };
                    for (p, x) in target[..row.len()].iter_mut().zip(row) {
                        *p += *x;
                    }
                    continue;
                }
                for oy in top..bottom {
                    let line = &row[oy * out_width + left..oy * out_width + right];
                    let y = y0 + (oy - top) * w.stride[0];
                    let from = y * width + x0;
                    if w.has_phases() {
                        let phase = &mut phases[w.in_phase(y, x0)..][..line.len()];
                        for (p, x) in phase.iter_mut().zip(line) {
                            *p += *x;
                        }
                    } else if w.stride[1] == 1 {
                        for (p, x) in plane[from..from + line.len()].iter_mut().zip(line) {
                            *p += *x;
                        }
                    } else {
                        for (p, x) in plane[from..].iter_mut().step_by(w.stride[1]).zip(line) {
                            *p += *x;
                        }
                    }
                }
            }
        }
        if w.has_phases() {
            for y in w.lines() {
                let line = &mut plane[y * width..(y + 1) * width];
                for first in 0..w.stride[1].min(width) {
                    let phase = &phases[w.in_phase(y, first)..];
                    for (x, p) in line[first..].iter_mut().step_by(w.stride[1]).zip(phase) {
                        *x += *p;
                    }
                }
            }
        }
    }
}
