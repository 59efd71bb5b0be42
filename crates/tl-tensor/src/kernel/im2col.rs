//! Windows of an image as columns of a matrix, and back.

use crate::Elem;

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
        let from = self.padding[a].saturating_sub(shift).div_ceil(stride);
        let limit = self.image[a] + self.padding[a];
        let to = limit.saturating_sub(shift).div_ceil(stride).min(self.out[a]);
        let from = from.min(to);
        let first = (from * stride + shift).wrapping_sub(self.padding[a]);
        (from, to, first)
    }
}

/// Writes the windows of `image` (channels × height × width) as columns:
/// `matrix` is `rows × columns`.
pub(crate) fn im2col<E: Elem>(w: &Windows, image: &[E], matrix: &mut [E]) {
    let [height, width] = w.image;
    let [out_height, out_width] = w.out;
    let mut rows = matrix.chunks_exact_mut(w.columns().max(1));
    for channel in 0..w.channels {
        let plane = &image[channel * height * width..][..height * width];
        for ky in 0..w.kernel[0] {
            let (top, bottom, y0) = w.inside(0, ky);
            for kx in 0..w.kernel[1] {
                let (left, right, x0) = w.inside(1, kx);
                let Some(row) = rows.next() else { return };
                row[..top * out_width].fill(E::ZERO);
                row[bottom * out_width..out_height * out_width].fill(E::ZERO);
                for oy in top..bottom {
                    let line = &mut row[oy * out_width..(oy + 1) * out_width];
                    line[..left].fill(E::ZERO);
                    line[right..].fill(E::ZERO);
                    if left == right {
                        continue;
                    }
                    let from = (y0 + (oy - top) * w.stride[0]) * width + x0;
                    let line = &mut line[left..right];
                    if w.stride[1] == 1 {
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

/// Adds the columns of `matrix` to their places in `image`: the adjoint of
/// [`im2col`].
pub(crate) fn col2im<E: Elem>(w: &Windows, matrix: &[E], image: &mut [E]) {
    let [height, width] = w.image;
    let out_width = w.out[1];
    let mut rows = matrix.chunks_exact(w.columns().max(1));
    for channel in 0..w.channels {
        let plane = &mut image[channel * height * width..][..height * width];
        for ky in 0..w.kernel[0] {
            let (top, bottom, y0) = w.inside(0, ky);
            for kx in 0..w.kernel[1] {
                let (left, right, x0) = w.inside(1, kx);
                let Some(row) = rows.next() else { return };
                if left == right {
                    continue;
                }
                for oy in top..bottom {
                    let line = &row[oy * out_width + left..oy * out_width + right];
                    let from = (y0 + (oy - top) * w.stride[0]) * width + x0;
                    if w.stride[1] == 1 {
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
    }
}
