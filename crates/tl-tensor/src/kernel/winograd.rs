//! Convolution with 3x3 kernels by F(2x2, 3x3) and F(4x4, 3x3): Lavin and Gray 2016,
//! "Fast Algorithms for Convolutional Neural Networks".
//!
//! The outputs of a tile come from fewer products than a plain sum has: four from 16
//! instead of 36, and sixteen from 36 instead of 144,
//! `Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`. For each of the 16 or 36 places the sum over
//! channels is a matrix product over many tiles. Errors of the larger tiles are a few
//! times those of the smaller; the points, and sums of few terms at a time, keep them near
//! those of a plain sum (see [`transform`] and [`panels`]).
//!
//! Blocks of tiles, and the order of all sums, depend on shapes and on the instruction
//! set alone: the bits are the same for any number of threads.
#![allow(unsafe_code)]

use super::{conv::Geometry, disjoint::Disjoint, parallel, strided::inner_kernels};
use crate::{
    Elem, Value,
    buffer::{Buffer, Prepared},
};
use kernels::Kernels;
use panels::{Left, PANEL, Panel, panels};
use std::ops::Range;
use tiles::{LANES, Tiles, gradient_tiles, input_tiles, output_maps};
use transform::{Four, Transform, Two};
use triomphe::Arc;

mod kernels;
mod panels;
mod tiles;
mod transform;

/// Numbers that the transformed tiles of a block should have, those of the input and of a
/// panel of the output: they stay in the cache of a core.
const CORE_CACHE: usize = 3 << 16;
/// And where all threads work on one block.
const SHARED_CACHE: usize = 1 << 21;
/// Fewest tiles of a block whose products are added to the gradient of a weight, and of
/// one that meets a weight of more numbers than any cache holds.
const FEWEST_TERMS: usize = 48;
const FEWEST: usize = 128;
const LARGE_WEIGHT: usize = 1 << 22;
/// Tiles, of the smaller kind, below which a product of windows is better: transforming
/// the weight takes as long as multiplying it with some dozens of them.
const FEW: usize = 48;
/// Channels from which on the products outweigh the transforms.
const CHANNELS: usize = 16;
/// Numbers of the transformed weight up to which every part of a sum has its own.
const OWN_SUM: usize = 1 << 19;
/// Parts in which the weight gradient is summed.
const PARTS: usize = 8;

/// Images of `channels` maps and the tiles of one side of the convolution.
#[derive(Clone, Copy)]
struct Maps {
    channels: usize,
    size: [usize; 2],
}

/// A convolution from `from` to `to`.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    images: usize,
    from: Maps,
    to: Maps,
    /// Zeros before the first entry on each axis.
    padding: [usize; 2],
    /// Outputs on a side of a tile, 2 or 4.
    outputs: usize,
    /// Tiles down and across an output map.
    tiles: [usize; 2],
    /// Whether its maps are phases of others, whose kernels have 5x5 entries.
    of_phases: bool,
}

/// How tiles are shared out: so many rows of tiles in a block, and whether
/// blocks run side by side.
#[derive(Clone, Copy)]
struct Blocks {
    rows: usize,
    count: usize,
    side_by_side: bool,
}

impl Plan {
    /// The plan for a convolution, none if another way is better.
    pub(super) fn of(g: &Geometry) -> Option<Self> {
        let w = &g.windows;
        let fits = g.groups == 1
            && w.kernel == [3, 3]
            && w.stride == [1, 1]
            && w.dilation == [1, 1]
            && w.padding[0] <= 2
            && w.padding[1] <= 2
            && w.channels.min(g.out_channels) >= CHANNELS;
        let [two, four] = [2, 4].map(|outputs| Self::with(g, outputs));
        if !fits || two.count() < FEW {
            return None;
        }
        // Products, and the transform of the weight.
        let cost = |plan: &Self| (plan.count() + FEW) * plan.places();
        Some(if cost(&four) < cost(&two) { four } else { two })
    }

    /// The plan with so many outputs on a side of a tile.
    fn with(g: &Geometry, outputs: usize) -> Self {
        let w = &g.windows;
        Self {
            images: g.images,
            from: Maps { channels: w.channels, size: w.image },
            to: Maps { channels: g.out_channels, size: w.out },
            padding: w.padding,
            outputs,
            tiles: w.out.map(|size| size.div_ceil(outputs)),
            of_phases: false,
        }
    }

    /// The plan for weights whose kernels are split by phases first.
    pub(super) fn of_phases(self) -> Self {
        Self { of_phases: true, ..self }
    }

    /// The convolution that takes the gradient of the output back: from `to` to
    /// `from`, with the kernel turned around.
    fn back(&self) -> Self {
        Self {
            from: self.to,
            to: self.from,
            padding: self.padding.map(|padding| 2 - padding),
            tiles: self.from.size.map(|size| size.div_ceil(self.outputs)),
            ..*self
        }
    }

    /// Tiles of all images.
    fn count(&self) -> usize {
        self.rows() * self.tiles[1]
    }

    /// Places of a transformed tile.
    fn places(&self) -> usize {
        (self.outputs + 2) * (self.outputs + 2)
    }

    /// Multiply-adds of all products.
    fn work(&self) -> usize {
        self.count() * self.places() * self.from.channels * self.to.channels
    }

    /// Rows of tiles over all images.
    fn rows(&self) -> usize {
        self.images * self.tiles[0]
    }

    /// Blocks with at least so many tiles.
    fn blocks(&self, fewest: usize) -> Blocks {
        let [from, to] = [self.from.channels, self.to.channels];
        let fewest = if self.places() * from * to < LARGE_WEIGHT { fewest } else { FEWEST };
        let per_tile = self.places() * (from + PANEL);
        let count = |numbers: usize| {
            let tiles = (numbers / per_tile).max(fewest);
            self.rows().div_ceil((tiles / self.tiles[1]).max(1))
        };
        let own = count(CORE_CACHE);
        let side_by_side = own >= 4;
        // An even number of blocks, of the same size if that can be.
        let count = if side_by_side { own.next_multiple_of(2) } else { count(SHARED_CACHE) };
        let rows = self.rows().div_ceil(count);
        Blocks { rows, count: self.rows().div_ceil(rows), side_by_side }
    }

    /// The rows of tiles of a block.
    fn block(&self, blocks: &Blocks, i: usize) -> Range<usize> {
        i * blocks.rows..((i + 1) * blocks.rows).min(self.rows())
    }

    /// The rows of tiles of a block image by image: the image, its first and
    /// number of rows, and its first tile in the block.
    fn segments(&self, rows: Range<usize>) -> impl Iterator<Item = (usize, usize, usize, usize)> {
        let [down, across] = self.tiles;
        let mut row = rows.start;
        std::iter::from_fn(move || {
            let left = rows.end.checked_sub(row).filter(|&left| left > 0)?;
            let (image, first) = (row / down, row % down);
            let count = left.min(down - first);
            let at = (row - rows.start) * across;
            row += count;
            Some((image, first, count, at))
        })
    }
}

/// Calls `f` for every index, in parallel if `spread`.
fn each(count: usize, spread: bool, f: impl Fn(usize) + Sync + Send) {
    parallel::collect(count, if spread { usize::MAX } else { 0 }, f);
}

/// Calls `f(block, spread)` for all blocks.
fn for_blocks(plan: &Plan, f: impl Fn(Range<usize>, bool) + Sync + Send) {
    let blocks = plan.blocks(1);
    let run = |i| f(plan.block(&blocks, i), !blocks.side_by_side);
    if blocks.side_by_side {
        parallel::collect(blocks.count, plan.work(), run);
    } else {
        (0..blocks.count).for_each(run);
    }
}

/// The transformed tiles of a block of the input.
fn input<T: Transform<N, M>, E: Elem, const N: usize, const M: usize>(
    plan: &Plan,
    x: &[E],
    rows: Range<usize>,
    spread: bool,
) -> Tiles<E> {
    let channels = plan.from.channels;
    let mut tiles = Tiles::new(N * N, rows.len() * plan.tiles[1], channels);
    let into = tiles.written();
    each(channels.div_ceil(LANES), spread, |i| {
        // SAFETY: no two tasks have the same channels.
        unsafe {
            input_tiles::<T, E, N, M>(plan, x, i * LANES, rows.clone(), &into.from(i * LANES));
        }
    });
    tiles
}

/// The panels of `channels` that are worked off together: all where threads share a
/// block, and read its tiles once; else one, so that its products stay near.
fn batches<E: Elem>(channels: usize, spread: bool) -> Vec<Vec<Panel>> {
    let panels = panels::<E>(channels);
    let together = if spread { panels.len() } else { 1 };
    panels.chunks(together.max(1)).map(<[Panel]>::to_vec).collect()
}

/// Every sixteen channels of some panels: the number of the panel, where in it they are,
/// and the first of them.
fn vectors(panels: &[Panel], channels: usize) -> Vec<(usize, usize, usize)> {
    let of = |(i, panel): (usize, &Panel)| {
        let first = panel.first;
        let lanes = (0..panel.width.min(channels - first)).step_by(LANES);
        lanes.map(move |lane| (i, lane, first + lane)).collect::<Vec<_>>()
    };
    panels.iter().enumerate().flat_map(of).collect()
}

/// Convolves with transformed kernels.
fn convolve<T: Transform<N, M>, E: Elem, const N: usize, const M: usize>(
    plan: &Plan,
    x: &[E],
    kernels: &[E],
    bias: Option<&[E]>,
    out: &mut [E],
) {
    let (channels, out) = (plan.from.channels, Disjoint::new(out));
    for_blocks(plan, |rows, spread| {
        let count = rows.len() * plan.tiles[1];
        let tiles = input::<T, E, N, M>(plan, x, rows.clone(), spread);
        let left = Left::new((count, tiles.width()), (channels, 1), T::TERMS);
        for panels in batches::<E>(plan.to.channels, spread) {
            let tiles_of = |panel: &Panel| Tiles::new(N * N, count, panel.width);
            let mut products: Vec<Tiles<E>> = panels.iter().map(tiles_of).collect();
            let into: Vec<_> = products.iter_mut().map(Tiles::written).collect();
            each(N * N, spread, |place| {
                for (panel, into) in panels.iter().zip(&into) {
                    let size = channels * panel.width;
                    let right = &kernels[panel.start(channels, N) + place * size..][..size];
                    // SAFETY: no two tasks have the same place.
                    let out = unsafe { into.place(place) };
                    left.multiply(tiles.place(place), (right, panel.width), out, false);
                }
            });
            let vectors = vectors(&panels, plan.to.channels);
            each(vectors.len(), spread, |i| {
                let (panel, lane, channel) = vectors[i];
                let from = (&products[panel], lane);
                // SAFETY: lines of these channels below these rows of tiles: no other
                // task has both.
                unsafe {
                    output_maps::<T, E, N, M>(plan, from, (channel, bias), rows.clone(), &out);
                }
            });
        }
    });
}

/// Kernels transformed for a plan. They are kept with the weight: the passes of a step,
/// and all uses of a model that does not learn, share them.
fn transformed<E: Elem>(plan: &Plan, weight: &Value<E>, back: bool) -> Arc<Buffer<E>> {
    let (from, outputs, of_phases) = (plan.from.channels, plan.outputs, plan.of_phases);
    let kind = Prepared::Winograd { from, outputs, of_phases, back };
    weight.prepared(kind, |weight| {
        let inner = plan.of_phases.then(|| inner_kernels(weight));
        let weight = inner.as_ref().map_or(weight, Buffer::as_slice);
        let kernels = Kernels::new(plan.from.channels, plan.to.channels);
        let kernels = if back { kernels.back() } else { kernels };
        match plan.outputs {
            4 => kernels.transform::<Four, E, 6, 4>(weight),
            _ => kernels.transform::<Two, E, 4, 2>(weight),
        }
    })
}

/// `out = conv(x, weight) + bias`; the weight is `[to, from, 3, 3]`.
pub(super) fn forward<E: Elem>(
    plan: &Plan,
    x: &[E],
    weight: &Value<E>,
    bias: Option<&[E]>,
    out: &mut [E],
) {
    let kernels = transformed(plan, weight, false);
    match plan.outputs {
        4 => convolve::<Four, E, 6, 4>(plan, x, kernels.as_slice(), bias, out),
        _ => convolve::<Two, E, 4, 2>(plan, x, kernels.as_slice(), bias, out),
    }
}

/// The gradient of the input from that of the output.
pub(super) fn input_gradient<E: Elem>(plan: &Plan, grad: &[E], weight: &Value<E>, out: &mut [E]) {
    let (kernels, back) = (transformed(plan, weight, true), plan.back());
    match plan.outputs {
        4 => convolve::<Four, E, 6, 4>(&back, grad, kernels.as_slice(), None, out),
        _ => convolve::<Two, E, 4, 2>(&back, grad, kernels.as_slice(), None, out),
    }
}

/// The transformed weight gradient of a block, `[panel][place][from][lane]`; added to
/// `sum` unless it is the first.
fn sum_block<T: Transform<N, M>, E: Elem, const N: usize, const M: usize>(
    plan: &Plan,
    (x, grad): (&[E], &[E]),
    rows: Range<usize>,
    (first, spread): (bool, bool),
    sum: &mut [E],
) {
    let (count, channels) = (rows.len() * plan.tiles[1], plan.from.channels);
    let tiles = input::<T, E, N, M>(plan, x, rows.clone(), spread);
    let left = Left::new((channels, 1), (count, tiles.width()), T::TERMS);
    let sum = Disjoint::new(sum);
    for panels in batches::<E>(plan.to.channels, spread) {
        let tiles_of = |panel: &Panel| Tiles::new(N * N, count, panel.width);
        let mut grads: Vec<Tiles<E>> = panels.iter().map(tiles_of).collect();
        let into: Vec<_> = grads.iter_mut().map(Tiles::written).collect();
        let vectors = vectors(&panels, plan.to.channels);
        each(vectors.len(), spread, |i| {
            let (panel, lane, channel) = vectors[i];
            let into = into[panel].from(lane);
            // SAFETY: no two tasks have the same channels.
            unsafe { gradient_tiles::<T, E, N, M>(plan, grad, channel, rows.clone(), &into) }
        });
        each(N * N, spread, |place| {
            for (panel, grads) in panels.iter().zip(&grads) {
                let size = channels * panel.width;
                // SAFETY: a place of this panel, which no other task has.
                let sum = unsafe { sum.part(panel.start(channels, N) + place * size, size) };
                left.multiply(tiles.place(place), (grads.place(place), panel.width), sum, !first);
            }
        });
    }
}

/// The gradient of the weight from the input and the output's gradient.
pub(super) fn weight_gradient<E: Elem>(plan: &Plan, x: &[E], grad: &[E], out: &mut [E]) {
    match plan.outputs {
        4 => sum_blocks::<Four, E, 6, 4>(plan, x, grad, out),
        _ => sum_blocks::<Two, E, 4, 2>(plan, x, grad, out),
    }
}

fn sum_blocks<T: Transform<N, M>, E: Elem, const N: usize, const M: usize>(
    plan: &Plan,
    x: &[E],
    grad: &[E],
    out: &mut [E],
) {
    let lanes: usize = panels::<E>(plan.to.channels).iter().map(|panel| panel.width).sum();
    let size = N * N * plan.from.channels * lanes;
    let kernels = Kernels::new(plan.from.channels, plan.to.channels);
    let blocks = plan.blocks(FEWEST_TERMS);
    let own_sums = blocks.side_by_side && size <= OWN_SUM;
    let sum_of = |own: Range<usize>| {
        let mut sum = Buffer::scratch(size);
        for i in own.clone() {
            let (rows, how) = (plan.block(&blocks, i), (i == own.start, !own_sums));
            sum_block::<T, E, N, M>(plan, (x, grad), rows, how, sum.as_mut_slice());
        }
        sum
    };
    if !own_sums {
        let sum = sum_of(0..blocks.count);
        return kernels.transform_back::<T, E, N, M>(sum.as_slice(), out);
    }
    let parts = PARTS.min(blocks.count);
    let mut sums = parallel::collect(parts, plan.work(), |part| {
        sum_of(blocks.count * part / parts..blocks.count * (part + 1) / parts)
    });
    let (whole, others) = sums.split_at_mut(1);
    for other in others {
        super::map::add_into(whole[0].as_mut_slice(), other.as_slice());
    }
    kernels.transform_back::<T, E, N, M>(whole[0].as_slice(), out);
}

#[cfg(test)]
mod tests;
