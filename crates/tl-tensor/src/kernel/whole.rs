//! Convolution as one product for all images, where the weight outweighs the maps.
//!
//! The last layers of a network have many channels and small maps: what takes time
//! is the weight. Here it is read once, as it lies. The windows of all images are
//! columns of one matrix, which threads write channel by channel.
#![allow(unsafe_code)]

use super::{
    conv::Geometry,
    disjoint::Disjoint,
    gemm::{Matrix, gemm},
    parallel,
};
use crate::{Elem, buffer::Buffer};

/// Fewest numbers of the weight, and most windows of all images.
const WEIGHT: usize = 1 << 18;
const WINDOWS: usize = 256;
/// Channels that one task writes.
const AT_ONCE: usize = 16;

/// Whether a convolution is one for this way. By the shape alone.
pub(super) fn fits(g: &Geometry) -> bool {
    let windows = g.images * g.windows.columns();
    let places = g.windows.kernel[0] * g.windows.kernel[1];
    g.groups == 1
        && places > 1
        && (1..=WINDOWS).contains(&windows)
        && g.out_channels * g.windows.rows() >= WEIGHT
}

/// The windows of all images as columns of a matrix: where their entries lie.
struct Columns<'g> {
    g: &'g Geometry,
    /// For each entry of a channel's rows its place in the planes of this channel, image
    /// after image; the place after them for what lies outside of the image.
    entries: Vec<u32>,
}

impl<'g> Columns<'g> {
    fn of(g: &'g Geometry) -> Self {
        let (w, plane) = (&g.windows, g.windows.image[0] * g.windows.image[1]);
        let outside = (g.images * plane) as u32;
        let mut entries = vec![outside; w.kernel[0] * w.kernel[1] * g.images * w.columns()];
        let mut maps = entries.chunks_exact_mut(w.columns());
        let (down, across) = (w.along(0), w.along(1));
        for &(top, bottom, y0) in &down {
            for &(left, right, x0) in &across {
                for (image, map) in (0..g.images).zip(&mut maps) {
                    for y in top..bottom {
                        let line = image * plane + (y0 + (y - top) * w.stride[0]) * w.image[1];
                        for x in left..right {
                            let pixel = line + x0 + (x - left) * w.stride[1];
                            map[y * w.out[1] + x] = pixel as u32;
                        }
                    }
                }
            }
        }
        Self { g, entries }
    }

    fn plane(&self) -> usize {
        self.g.windows.image[0] * self.g.windows.image[1]
    }

    /// Columns of the matrix.
    fn width(&self) -> usize {
        self.g.images * self.g.windows.columns()
    }

    /// The matrix, written by all threads.
    fn write<E: Elem>(&self, x: &[E]) -> Buffer<E> {
        let plane = self.plane();
        let mut matrix = Buffer::scratch(self.g.windows.rows() * self.width());
        let (rows, work) = (self.entries.len(), matrix.as_slice().len());
        parallel::chunks(matrix.as_mut_slice(), AT_ONCE * rows, work, |task, out| {
            let mut planes = Buffer::filled(self.g.images * plane + 1, E::ZERO);
            let planes = planes.as_mut_slice();
            for (i, rows) in out.chunks_exact_mut(rows).enumerate() {
                let channel = task * AT_ONCE + i;
                for (image, into) in planes.chunks_exact_mut(plane).enumerate() {
                    let from = image * self.g.input_size() + channel * plane;
                    into.copy_from_slice(&x[from..from + plane]);
                }
                for (out, &at) in rows.iter_mut().zip(&self.entries) {
                    *out = planes[at as usize];
                }
            }
        });
        matrix
    }

    /// Sums the entries of the matrix at their places in the images: the adjoint.
    fn add_up<E: Elem>(&self, matrix: &[E], out: &mut [E]) {
        let (plane, rows) = (self.plane(), self.entries.len());
        let (channels, work) = (self.g.windows.channels, matrix.len());
        let out = Disjoint::new(out);
        parallel::collect(channels.div_ceil(AT_ONCE), work, |task| {
            let mut planes = Buffer::scratch(self.g.images * plane + 1);
            let planes = planes.as_mut_slice();
            for channel in task * AT_ONCE..((task + 1) * AT_ONCE).min(channels) {
                planes.fill(E::ZERO);
                for (&x, &at) in matrix[channel * rows..][..rows].iter().zip(&self.entries) {
                    planes[at as usize] += x;
                }
                for (image, from) in planes.chunks_exact(plane).enumerate() {
                    let at = image * self.g.input_size() + channel * plane;
                    // SAFETY: a plane of this channel, which no other task has.
                    unsafe { out.part(at, plane) }.copy_from_slice(from);
                }
            }
        });
    }
}

/// `out = conv(x, weight) + bias`.
pub(super) fn forward<E: Elem>(
    g: &Geometry,
    x: &[E],
    weight: &[E],
    bias: Option<&[E]>,
    out: &mut [E],
) {
    let (columns, rows) = (Columns::of(g), g.windows.rows());
    let (matrix, width) = (columns.write(x), columns.width());
    let mut product = Buffer::scratch(g.out_channels * width);
    let size = (g.out_channels, rows, width);
    let (weight, right) = (Matrix::new(weight, rows), Matrix::new(matrix.as_slice(), width));
    gemm(size, weight, right, product.as_mut_slice(), false, true);
    g.write_maps(product.as_slice(), bias, out);
}

/// The gradient of the input from that of the output.
pub(super) fn input_gradient<E: Elem>(g: &Geometry, grad: &[E], weight: &[E], out: &mut [E]) {
    let (columns, rows) = (Columns::of(g), g.windows.rows());
    let (mut sides, width) = (Buffer::scratch(grad.len()), columns.width());
    let side = g.side(grad, sides.as_mut_slice());
    let mut matrix = Buffer::scratch(rows * width);
    let size = (rows, g.out_channels, width);
    let (weight, right) = (Matrix::new(weight, rows).t(), Matrix::new(side, width));
    gemm(size, weight, right, matrix.as_mut_slice(), false, true);
    columns.add_up(matrix.as_slice(), out);
}

/// The gradient of the weight from the input and the output's gradient.
pub(super) fn weight_gradient<E: Elem>(g: &Geometry, x: &[E], grad: &[E], out: &mut [E]) {
    let (columns, rows) = (Columns::of(g), g.windows.rows());
    let (matrix, width) = (columns.write(x), columns.width());
    let mut sides = Buffer::scratch(grad.len());
    let side = g.side(grad, sides.as_mut_slice());
    let size = (g.out_channels, width, rows);
    let (left, right) = (Matrix::new(side, width), Matrix::new(matrix.as_slice(), width));
    gemm(size, left, right.t(), out, false, true);
}
