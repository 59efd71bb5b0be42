//! Convolution by windows and matrix products, a few images at a time.
//!
//! The matrix of windows of a tile of images lives in a buffer of the task and
//! stays in cache; tiles run side by side. Small maps share a tile, so that the
//! products are wide enough. The size of a tile and the parts of the weight
//! gradient's sum depend on shapes alone: the bits are the same for any number of
//! threads.

use super::{
    depthwise, direct,
    gemm::{Matrix, gemm, gemm_rows},
    im2col::{Windows, col2im, im2col},
    parallel,
    strided::Strided,
    whole,
    winograd::{self, Plan},
};
use crate::{Elem, Value, buffer::Buffer};
use std::ops::Range;

/// Parts in which the weight gradient is summed.
const PARTS: usize = 8;
/// Numbers of the weight up to which every part of a sum has its own.
const OWN_SUM: usize = 1 << 19;
/// Columns that a product should have, and those that it has at least if there
/// are so many.
const WIDE: usize = 512;
const NARROW: usize = 96;
/// Entries that the matrix of windows may have, for the sake of the cache.
const LARGEST: usize = 1 << 17;

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
    pub(super) fn input_size(&self) -> usize {
        self.windows.channels * self.windows.image[0] * self.windows.image[1]
    }

    pub(super) fn output_size(&self) -> usize {
        self.out_channels * self.windows.columns()
    }

    fn weight_size(&self) -> usize {
        self.out_channels * self.windows.rows()
    }

    pub(super) fn work(&self) -> usize {
        self.images * self.groups * self.weight_size() * self.windows.columns()
    }

    fn is_depthwise(&self) -> bool {
        self.windows.channels == 1 && self.out_channels == 1
    }

    /// Images that share a product: 1 where a map is wide enough or there are
    /// groups.
    fn tile(&self) -> usize {
        if self.groups > 1 {
            return 1;
        }
        let columns = self.windows.columns().max(1);
        let fit = LARGEST / (self.windows.rows() * columns).max(1);
        let fewest = NARROW.div_ceil(columns);
        WIDE.div_ceil(columns).min(fit.max(fewest)).min(self.images).max(1)
    }

    /// Rows of windows of a strip: where a map is large, its matrix of windows is
    /// worked off in parts that stay in cache.
    fn lines(&self) -> usize {
        let w = &self.windows;
        let line = (w.rows() * w.out[1]).max(1);
        (LARGEST / line).max(NARROW.div_ceil(w.out[1].max(1))).clamp(1, w.out[0].max(1))
    }

    /// Whether tiles are many enough to run side by side; else their products
    /// are spread.
    fn side_by_side(&self, tile: usize) -> bool {
        self.images.div_ceil(tile) * self.groups >= parallel::threads()
    }

    /// Room for the windows of a tile, or for nothing if they are the image.
    fn scratch<E: Elem>(&self, tile: usize) -> Buffer<E> {
        let w = &self.windows;
        Buffer::scratch(match tile {
            1 if w.is_identity() => 0,
            1 => w.rows() * w.out[1] * self.lines(),
            _ => w.rows() * w.columns() * tile,
        })
    }

    /// Calls `f` with matrices of windows of `images`, how many columns each has,
    /// and at which column of the whole it begins.
    fn with_columns<E: Elem>(
        &self,
        images: &[E],
        scratch: &mut [E],
        mut f: impl FnMut(&[E], usize, usize),
    ) {
        let count = images.len() / self.input_size().max(1);
        let (w, columns) = (&self.windows, self.windows.columns());
        match count {
            0 => {}
            1 if w.is_identity() => f(images, columns, 0),
            1 => {
                for strip in w.strips(self.lines()) {
                    im2col(&strip, images, scratch, strip.columns(), 0);
                    f(scratch, strip.columns(), strip.above * w.out[1]);
                }
            }
            _ => {
                for (i, image) in images.chunks_exact(self.input_size()).enumerate() {
                    im2col(w, image, scratch, count * columns, i * columns);
                }
                f(scratch, count * columns, 0);
            }
        }
    }

    /// Maps `[image][channel]` as a matrix `[channel][image]`, in `scratch`
    /// unless it is that already.
    pub(super) fn side<'a, E: Elem>(&self, maps: &'a [E], scratch: &'a mut [E]) -> &'a [E] {
        let count = maps.len() / self.output_size().max(1);
        if count <= 1 {
            return maps;
        }
        let columns = self.windows.columns();
        for (i, image) in maps.chunks_exact(self.output_size()).enumerate() {
            for (channel, map) in image.chunks_exact(columns).enumerate() {
                scratch[(channel * count + i) * columns..][..columns].copy_from_slice(map);
            }
        }
        scratch
    }

    /// The other way: a matrix `[channel][image]`, and a bias of each channel, as maps
    /// `[image][channel]`.
    pub(super) fn write_maps<E: Elem>(&self, side: &[E], bias: Option<&[E]>, maps: &mut [E]) {
        let (count, columns) = (maps.len() / self.output_size().max(1), self.windows.columns());
        for (image, maps) in maps.chunks_exact_mut(self.output_size()).enumerate() {
            for (channel, map) in maps.chunks_exact_mut(columns).enumerate() {
                let from = &side[(channel * count + image) * columns..][..columns];
                match bias {
                    Some(bias) => {
                        let b = bias[channel];
                        map.iter_mut().zip(from).for_each(|(x, &y)| *x = y + b);
                    }
                    None => map.copy_from_slice(from),
                }
            }
        }
    }
}

/// `out[image][group] = weight[group] · columns(x[image][group]) + bias`.
pub(crate) fn forward<E: Elem>(
    g: &Geometry,
    x: &Value<E>,
    weight: &Value<E>,
    bias: Option<&[E]>,
    out: &mut [E],
) {
    if g.input_size() == 0 {
        let maps = out.chunks_exact_mut(g.windows.columns().max(1));
        let channels = bias.map_or(1, <[E]>::len).max(1);
        for (i, map) in maps.enumerate() {
            map.fill(bias.map_or(E::ZERO, |bias| bias[i % channels]));
        }
        return;
    }
    if let Some(plan) = Plan::of(g) {
        winograd::forward(&plan, x.contiguous().raw(), weight, bias, out);
        return;
    }
    if let Some(strided) = Strided::of(g) {
        strided.forward(x.contiguous().raw(), weight, bias, out);
        return;
    }
    let (x, weight) = (x.contiguous(), weight.contiguous());
    let (x, weight) = (x.raw(), weight.raw());
    if g.is_depthwise() {
        depthwise::forward(g, x, weight, bias, out);
        return;
    }
    if whole::fits(g) {
        whole::forward(g, x, weight, bias, out);
        return;
    }
    if direct::forward(g, x, weight, bias, out) {
        return;
    }
    let (rows, columns) = (g.windows.rows(), g.windows.columns());
    let tile = g.tile();
    let side_by_side = g.side_by_side(tile);
    let work = if side_by_side { g.work() } else { 0 };
    parallel::chunks(out, tile * g.output_size(), work, |i, out| {
        let group = i % g.groups;
        let count = out.len() / g.output_size().max(1);
        let mut buffer = g.scratch(count);
        let images = &x[i * tile * g.input_size()..][..count * g.input_size()];
        let bias = bias.map(|bias| &bias[group * g.out_channels..]);
        if count == 1 {
            for (out, &b) in out.chunks_exact_mut(columns.max(1)).zip(bias.unwrap_or(&[])) {
                out.fill(b);
            }
        }
        g.with_columns(images, buffer.as_mut_slice(), |matrix, width, from| {
            let weight = Matrix::new(&weight[group * g.weight_size()..], rows);
            let shape = (g.out_channels, rows, width);
            let matrix = Matrix::new(matrix, width);
            if count == 1 {
                let into = (&mut out[from..], columns);
                gemm_rows(shape, weight, matrix, into, bias.is_some(), !side_by_side);
                return;
            }
            let mut product = Buffer::scratch(count * g.output_size());
            let product = product.as_mut_slice();
            gemm(shape, weight, matrix, product, false, !side_by_side);
            g.write_maps(product, bias, out);
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
    if out.is_empty() {
        return;
    }
    if let Some(plan) = Plan::of(g) {
        winograd::input_gradient(&plan, grad.contiguous().raw(), weight, out);
        return;
    }
    if let Some(strided) = Strided::of(g) {
        strided.input_gradient(grad.contiguous().raw(), weight, out);
        return;
    }
    let (grad, weight) = (grad.contiguous(), weight.contiguous());
    let (grad, weight) = (grad.raw(), weight.raw());
    if g.is_depthwise() {
        depthwise::input_gradient(g, grad, weight, out);
        return;
    }
    if whole::fits(g) {
        whole::input_gradient(g, grad, weight, out);
        return;
    }
    if direct::input_gradient(g, grad, weight, out) {
        return;
    }
    let (rows, columns) = (g.windows.rows(), g.windows.columns());
    let tile = g.tile();
    let side_by_side = g.side_by_side(tile);
    let work = if side_by_side { g.work() } else { 0 };
    parallel::chunks(out, tile * g.input_size(), work, |i, out| {
        let group = i % g.groups;
        let count = out.len() / g.input_size().max(1);
        let weight = Matrix::new(&weight[group * g.weight_size()..], rows).t();
        let maps = &grad[i * tile * g.output_size()..][..count * g.output_size()];
        let mut sides = Buffer::scratch(if count > 1 { maps.len() } else { 0 });
        let grad = Matrix::new(g.side(maps, sides.as_mut_slice()), count * columns);
        let shape = (rows, g.out_channels, count * columns);
        if count == 1 && g.windows.is_identity() {
            gemm(shape, weight, grad, out, false, !side_by_side);
            return;
        }
        let mut buffer = g.scratch(count);
        let buffer = buffer.as_mut_slice();
        out.fill(E::ZERO);
        if count == 1 {
            for strip in g.windows.strips(g.lines()) {
                let width = strip.columns();
                let grad = grad.skip_columns(strip.above * g.windows.out[1]);
                gemm((rows, g.out_channels, width), weight, grad, buffer, false, !side_by_side);
                col2im(&strip, buffer, out, width, 0);
            }
            return;
        }
        gemm(shape, weight, grad, buffer, false, !side_by_side);
        for (image, out) in out.chunks_exact_mut(g.input_size()).enumerate() {
            col2im(&g.windows, buffer, out, count * columns, image * columns);
        }
    });
}

/// The gradient of the weight from the input and the output's gradient.
pub(crate) fn weight_gradient<E: Elem>(g: &Geometry, x: &Value<E>, grad: &Value<E>, out: &mut [E]) {
    if g.input_size() == 0 {
        out.fill(E::ZERO);
        return;
    }
    let (x, grad) = (x.contiguous(), grad.contiguous());
    let (x, grad) = (x.raw(), grad.raw());
    if g.is_depthwise() {
        depthwise::weight_gradient(g, x, grad, out);
        return;
    }
    if let Some(plan) = Plan::of(g) {
        winograd::weight_gradient(&plan, x, grad, out);
        return;
    }
    if let Some(strided) = Strided::of(g) {
        strided.weight_gradient(x, grad, out);
        return;
    }
    if whole::fits(g) {
        whole::weight_gradient(g, x, grad, out);
        return;
    }
    let (rows, columns) = (g.windows.rows(), g.windows.columns());
    let size = g.groups * g.weight_size();
    out.fill(E::ZERO);
    if direct::weight_gradient(g, x, grad, out) {
        return;
    }
    let tile = g.tile();
    let tiles = g.images.div_ceil(tile);
    // Adds the gradients of some tiles to `sum`.
    let add = |own: Range<usize>, sum: &mut [E], spread: bool| {
        let mut buffer = g.scratch(tile);
        let mut sides = Buffer::scratch(if tile > 1 { tile * g.output_size() } else { 0 });
        for i in own.start * g.groups..own.end * g.groups {
            let group = i % g.groups;
            let count = tile.min(g.images - i / g.groups * tile);
            let images = &x[i * tile * g.input_size()..][..count * g.input_size()];
            let maps = &grad[i * tile * g.output_size()..][..count * g.output_size()];
            let sides = g.side(maps, sides.as_mut_slice());
            g.with_columns(images, buffer.as_mut_slice(), |matrix, width, from| {
                let grad = Matrix::new(sides, count * columns).skip_columns(from);
                let into = &mut sum[group * g.weight_size()..][..g.weight_size()];
                let matrix = Matrix::new(matrix, width).t();
                gemm((g.out_channels, width, rows), grad, matrix, into, true, spread);
            });
        }
    };
    let parts = PARTS.min(tiles).max(1);
    if parts == 1 || size > OWN_SUM {
        add(0..tiles, out, true);
        return;
    }
    let sums = parallel::collect(parts, g.work(), |part| {
        let mut sum = Buffer::filled(size, E::ZERO);
        add(tiles * part / parts..tiles * (part + 1) / parts, sum.as_mut_slice(), false);
        sum
    });
    for sum in &sums {
        super::map::add_into(out, sum.as_slice());
    }
}
