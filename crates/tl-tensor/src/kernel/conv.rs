//! Convolution by windows and matrix products, image by image.
//!
//! The matrix of windows of one image lives in a buffer of the task and stays
//! in cache; images run side by side. The weight gradient is summed in a fixed
//! number of parts, so its bits do not depend on the number of threads.

use super::{
    gemm::{Matrix, gemm},
    im2col::{Windows, col2im, im2col},
    parallel,
};
use crate::{Elem, Value, buffer::Buffer};

/// Parts in which the weight gradient is summed.
const PARTS: usize = 8;

/// A convolution of `images` images; the windows are those of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) images: usize,
    pub(crate) groups: usize,
    /// Output channels of one group.
    pub(crate) out_channels: usize,
    pub(crate) windows: Windows,
}

impl Geometry {
    fn input_size(&self) -> usize {
        self.windows.channels * self.windows.image[0] * self.windows.image[1]
    }

    fn output_size(&self) -> usize {
        self.out_channels * self.windows.columns()
    }

    fn weight_size(&self) -> usize {
        self.out_channels * self.windows.rows()
    }

    fn work(&self) -> usize {
        self.images * self.groups * self.weight_size() * self.windows.columns()
    }
}

/// Calls `f` with the windows of `image` as a matrix.
fn with_columns<E: Elem, R>(
    w: &Windows,
    image: &[E],
    scratch: &mut [E],
    f: impl FnOnce(&[E]) -> R,
) -> R {
    if w.is_identity() {
        return f(image);
    }
    im2col(w, image, scratch);
    f(scratch)
}

fn scratch<E: Elem>(w: &Windows) -> Buffer<E> {
    Buffer::scratch(if w.is_identity() { 0 } else { w.rows() * w.columns() })
}

/// `out[image][group] = weight[group] · columns(x[image][group]) + bias`.
pub(crate) fn forward<E: Elem>(
    g: &Geometry,
    x: &Value<E>,
    weight: &Value<E>,
    bias: Option<&[E]>,
    out: &mut [E],
) {
    let (x, weight) = (x.contiguous(), weight.contiguous());
    let (x, weight) = (x.raw(), weight.raw());
    let (rows, columns) = (g.windows.rows(), g.windows.columns());
    let side_by_side = g.images * g.groups >= parallel::threads();
    let work = if side_by_side { g.work() } else { 0 };
    parallel::chunks(out, g.output_size(), work, |i, out| {
        let group = i % g.groups;
        if let Some(bias) = bias {
            let bias = &bias[group * g.out_channels..];
            for (out, &b) in out.chunks_exact_mut(columns.max(1)).zip(bias) {
                out.fill(b);
            }
        }
        let mut buffer = scratch(&g.windows);
        let image = &x[i * g.input_size()..][..g.input_size()];
        with_columns(&g.windows, image, buffer.as_mut_slice(), |matrix| {
            let weight = Matrix::new(&weight[group * g.weight_size()..], rows);
            let shape = (g.out_channels, rows, columns);
            gemm(shape, weight, Matrix::new(matrix, columns), out, bias.is_some(), !side_by_side);
        });
    });
}

/// The gradient of the input from that of the output, `grad`.
pub(crate) fn input_gradient<E: Elem>(
    g: &Geometry,
    grad: &Value<E>,
    weight: &Value<E>,
    out: &mut [E],
) {
    let (grad, weight) = (grad.contiguous(), weight.contiguous());
    let (grad, weight) = (grad.raw(), weight.raw());
    let (rows, columns) = (g.windows.rows(), g.windows.columns());
    let side_by_side = g.images * g.groups >= parallel::threads();
    let work = if side_by_side { g.work() } else { 0 };
    parallel::chunks(out, g.input_size(), work, |i, out| {
        let group = i % g.groups;
        let weight = Matrix::new(&weight[group * g.weight_size()..], rows).t();
        let grad = Matrix::new(&grad[i * g.output_size()..], columns);
        let shape = (rows, g.out_channels, columns);
        if g.windows.is_identity() {
            gemm(shape, weight, grad, out, false, !side_by_side);
            return;
        }
        let mut buffer = scratch(&g.windows);
        gemm(shape, weight, grad, buffer.as_mut_slice(), false, !side_by_side);
        out.fill(E::ZERO);
        col2im(&g.windows, buffer.as_mut_slice(), out);
    });
}

/// The gradient of the weight from the input and the output's gradient.
pub(crate) fn weight_gradient<E: Elem>(g: &Geometry, x: &Value<E>, grad: &Value<E>, out: &mut [E]) {
    let (x, grad) = (x.contiguous(), grad.contiguous());
    let (x, grad) = (x.raw(), grad.raw());
    let (rows, columns) = (g.windows.rows(), g.windows.columns());
    let size = g.groups * g.weight_size();
    out.fill(E::ZERO);
    let parts = PARTS.min(g.images).max(1);
    let sums = parallel::collect(parts, g.work(), |part| {
        let mut sum = Buffer::filled(size, E::ZERO);
        let mut buffer = scratch(&g.windows);
        let images = g.images * part / parts..g.images * (part + 1) / parts;
        for i in images.start * g.groups..images.end * g.groups {
            let group = i % g.groups;
            let image = &x[i * g.input_size()..][..g.input_size()];
            with_columns(&g.windows, image, buffer.as_mut_slice(), |matrix| {
                let grad = Matrix::new(&grad[i * g.output_size()..], columns);
                let into = &mut sum.as_mut_slice()[group * g.weight_size()..][..g.weight_size()];
                let shape = (g.out_channels, columns, rows);
                gemm(shape, grad, Matrix::new(matrix, columns).t(), into, true, false);
            });
        }
        sum
    });
    for sum in &sums {
        super::map::add_into(out, sum.as_slice());
    }
}
