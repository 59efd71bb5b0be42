//! Convolution with 3x3 kernels by F(2x2, 3x3): Lavin and Gray 2016,
//! "Fast Algorithms for Convolutional Neural Networks".
//!
//! Four outputs of a tile come from 16 products instead of 36:
//! `Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`. For each of the 16 places the sum over
//! channels is a matrix product over many tiles. The numbers of `A` and `B` are
//! 0 and ±1, those of `G` 0, ½ and 1, so errors stay close to those of plain
//! sums.
//!
//! Blocks of tiles, and the order of all sums, depend on shapes alone: the bits
//! are the same for any number of threads.
#![allow(unsafe_code)]

use super::{
    conv::Geometry,
    disjoint::Disjoint,
    gemm::{Matrix, gemm},
    parallel,
};
use crate::{
    Elem, Value,
    buffer::{Buffer, Prepared},
};
use std::ops::Range;
use triomphe::Arc;

#[cfg(target_arch = "x86_64")]
mod avx;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod fast;
mod transform;

use fast::{gradient_tiles, input_tiles, output_maps};
use transform::{turned, weight_back, weight_places};

/// Places of a transformed tile.
pub(super) const PLACES: usize = 16;
/// Numbers that the transformed tiles of a block should have, of both sides: they
/// stay in the cache of a core.
const CORE_CACHE: usize = 1 << 17;
/// And where all threads work on one block.
const SHARED_CACHE: usize = 1 << 21;
/// Fewest tiles of a block, for the sake of the products, which take so many at a time.
const FEWEST: usize = 128;
const AT_A_TIME: usize = 64;
/// Tiles below which a product of windows is better: transforming the weight takes as
/// long as multiplying it with some dozens of them.
const FEW: usize = 48;
/// Channels from which on the products outweigh the transforms. Where [`fast`] has none
/// for this shape, they take longer, above all of short lines: channels times columns
/// must reach this then.
const CHANNELS: usize = 16;
const CHANNELS_BY_COLUMNS: usize = 1024;
/// Numbers of the transformed weight up to which every part of a sum has its own.
const OWN_SUM: usize = 1 << 19;
/// Parts in which the weight gradient is summed.
const PARTS: usize = 8;
/// Channels that one task transforms where threads share a block.
const AT_ONCE: usize = 8;

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
    /// Tiles down and across an output map.
    tiles: [usize; 2],
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
    /// The plan for a convolution, none if another way is better on this machine.
    pub(super) fn of(g: &Geometry) -> Option<Self> {
        let plan = Self::where_it_fits(g)?;
        let channels = plan.from.channels.min(plan.to.channels);
        let outweighed =
            fast::available(&plan) || channels * g.windows.out[1] >= CHANNELS_BY_COLUMNS;
        outweighed.then_some(plan)
    }

    /// The plan for a convolution, none if another way is better on every machine.
    fn where_it_fits(g: &Geometry) -> Option<Self> {
        let w = &g.windows;
        let fits = g.groups == 1
            && w.kernel == [3, 3]
            && w.stride == [1, 1]
            && w.dilation == [1, 1]
            && w.padding[0] <= 2
            && w.padding[1] <= 2
            && w.channels.min(g.out_channels) >= CHANNELS;
        let tiles = [w.out[0].div_ceil(2), w.out[1].div_ceil(2)];
        if !fits || g.images * tiles[0] * tiles[1] < FEW {
            return None;
        }
        Some(Self {
            images: g.images,
            from: Maps { channels: w.channels, size: w.image },
            to: Maps { channels: g.out_channels, size: w.out },
            padding: w.padding,
            tiles,
        })
    }

    /// The convolution that takes the gradient of the output back: from `to` to
    /// `from`, with the kernel turned around.
    fn back(&self) -> Self {
        Self {
            images: self.images,
            from: self.to,
            to: self.from,
            padding: [2 - self.padding[0], 2 - self.padding[1]],
            tiles: [self.from.size[0].div_ceil(2), self.from.size[1].div_ceil(2)],
        }
    }

    /// Multiply-adds of all products.
    fn work(&self) -> usize {
        let tiles = self.images * self.tiles[0] * self.tiles[1];
        tiles * PLACES * self.from.channels * self.to.channels
    }

    /// Rows of tiles over all images.
    fn rows(&self) -> usize {
        self.images * self.tiles[0]
    }

    fn blocks(&self) -> Blocks {
        let per_tile = PLACES * (self.from.channels + self.to.channels);
        let count = |numbers: usize| {
            let tiles = (numbers / per_tile).next_multiple_of(AT_A_TIME).max(FEWEST);
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

    /// Columns of the products of a block: its tiles, and some more that fill a
    /// vector.
    fn columns(&self, rows: &Range<usize>) -> usize {
        (rows.len() * self.tiles[1]).next_multiple_of(16)
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

/// The first tiles of the fours that cover a line of `across` tiles: the last
/// one overlaps the one before where they do not fit.
#[cfg(target_arch = "x86_64")]
fn fours(across: usize) -> impl Iterator<Item = usize> {
    (0..across.div_ceil(4)).map(move |i| (4 * i).min(across.saturating_sub(4)))
}

/// Calls `f` for every index, in parallel if `spread`.
fn each(count: usize, spread: bool, f: impl Fn(usize) + Sync + Send) {
    let tasks = count.div_ceil(AT_ONCE);
    parallel::collect(tasks, if spread { usize::MAX } else { 0 }, |task| {
        for i in task * AT_ONCE..((task + 1) * AT_ONCE).min(count) {
            f(i);
        }
    });
}

/// The transformed tiles of a block: `[place][channel][column]`, and a gap after
/// each place.
struct Tiles<E: Elem> {
    buffer: Buffer<E>,
    channels: usize,
    columns: usize,
    /// From one place to the next.
    step: usize,
}

/// From one place to the next of `size` numbers. All 16 are written at the same
/// time: a distance that is a multiple of 4 KiB would have them share a few lines
/// of the cache, so it is four lines of 16 numbers more than such a multiple.
fn spaced(size: usize) -> usize {
    let lines = size.div_ceil(16);
    16 * (lines + (4 + 64 - lines % 64) % 64)
}

impl<E: Elem> Tiles<E> {
    fn new(channels: usize, columns: usize) -> Self {
        let step = spaced(channels * columns);
        Self { buffer: Buffer::scratch(PLACES * step), channels, columns, step }
    }

    fn place(&self, place: usize) -> &[E] {
        &self.buffer.as_slice()[place * self.step..][..self.channels * self.columns]
    }

    /// Writes the tiles of every channel with `f(channel, places)`; columns
    /// that are no tiles become 0.
    fn fill(
        &mut self,
        tiles: usize,
        spread: bool,
        f: impl Fn(usize, [&mut [E]; PLACES]) + Sync + Send,
    ) {
        let (channels, columns, step) = (self.channels, self.columns, self.step);
        let all = Disjoint::new(self.buffer.as_mut_slice());
        each(channels, spread, |channel| {
            let places = std::array::from_fn(|place| {
                // SAFETY: rows of this channel alone, and no two tasks have the
                // same channel.
                let row = unsafe { all.part(place * step + channel * columns, columns) };
                let (row, rest) = row.split_at_mut(tiles);
                rest.fill(E::ZERO);
                row
            });
            f(channel, places);
        });
    }

    /// Sets every place to a product `left(place) · right[place]`.
    fn multiply<'m>(
        &mut self,
        inner: usize,
        spread: bool,
        left: impl Fn(usize) -> Matrix<'m, E> + Sync,
        right: &Self,
    ) where
        E: 'm,
    {
        let (channels, columns) = (self.channels, self.columns);
        let work = if spread { usize::MAX } else { 0 };
        parallel::chunks(self.buffer.as_mut_slice(), self.step, work, |place, out| {
            let right = Matrix::new(right.place(place), columns);
            gemm((channels, inner, columns), left(place), right, out, false, false);
        });
    }
}

/// Calls `f(block, spread)` for all blocks.
fn for_blocks(plan: &Plan, f: impl Fn(Range<usize>, bool) + Sync + Send) {
    let blocks = plan.blocks();
    let run = |i| f(plan.block(&blocks, i), !blocks.side_by_side);
    if blocks.side_by_side {
        parallel::collect(blocks.count, plan.work(), run);
    } else {
        (0..blocks.count).for_each(run);
    }
}

/// Convolves with transformed weights: `weight(place)` is a matrix
/// `[to, from]`.
fn convolve<'m, E: Elem + 'm>(
    plan: &Plan,
    x: &[E],
    weight: impl Fn(usize) -> Matrix<'m, E> + Sync,
    bias: Option<&[E]>,
    out: &mut [E],
) {
    let out = Disjoint::new(out);
    for_blocks(plan, |rows, spread| {
        let (columns, count) = (plan.columns(&rows), rows.len() * plan.tiles[1]);
        let mut tiles = Tiles::new(plan.from.channels, columns);
        tiles.fill(count, spread, |channel, places| {
            input_tiles(plan, x, channel, rows.clone(), places);
        });
        let mut products = Tiles::new(plan.to.channels, columns);
        products.multiply(plan.from.channels, spread, &weight, &tiles);
        each(plan.to.channels, spread, |channel| {
            let places: [&[E]; PLACES] =
                std::array::from_fn(|place| &products.place(place)[channel * columns..][..count]);
            let bias = bias.map_or(E::ZERO, |b| b[channel]);
            // SAFETY: lines of this channel below these rows of tiles: no other
            // task has both.
            unsafe { output_maps(plan, places, channel, rows.clone(), bias, &out) };
        });
    });
}

/// The transform of a weight `[to, from, 3, 3]`. It is kept with the weight: the
/// passes of a step, and all uses of a model that does not learn, share it.
fn places_of<E: Elem>(plan: &Plan, weight: &Value<E>) -> Arc<Buffer<E>> {
    let filters = plan.to.channels * plan.from.channels;
    weight.prepared(Prepared::Winograd, |weight| weight_places(weight, filters))
}

/// `out = conv(x, weight) + bias`; the weight is `[to, from, 3, 3]`.
pub(super) fn forward<E: Elem>(
    plan: &Plan,
    x: &[E],
    weight: &Value<E>,
    bias: Option<&[E]>,
    out: &mut [E],
) {
    let (to, from) = (plan.to.channels, plan.from.channels);
    let places = places_of(plan, weight);
    let places = places.as_slice();
    convolve(plan, x, |p| Matrix::new(&places[p * to * from..], from), bias, out);
}

/// The gradient of the input from that of the output.
pub(super) fn input_gradient<E: Elem>(plan: &Plan, grad: &[E], weight: &Value<E>, out: &mut [E]) {
    let (to, from) = (plan.to.channels, plan.from.channels);
    let places = places_of(plan, weight);
    let places = places.as_slice();
    let turned = |p: usize| Matrix::new(&places[turned(p) * to * from..], from).t();
    convolve(&plan.back(), grad, turned, None, out);
}

/// The transformed weight gradient of a block; added to `sum` unless it is the first.
fn sum_block<E: Elem>(
    plan: &Plan,
    x: &[E],
    grad: &[E],
    rows: Range<usize>,
    (first, spread): (bool, bool),
    sum: &mut [E],
) {
    let (columns, count) = (plan.columns(&rows), rows.len() * plan.tiles[1]);
    let mut tiles = Tiles::new(plan.from.channels, columns);
    tiles.fill(count, spread, |channel, places| {
        input_tiles(plan, x, channel, rows.clone(), places);
    });
    let mut grads = Tiles::new(plan.to.channels, columns);
    grads.fill(count, spread, |channel, places| {
        gradient_tiles(plan, grad, channel, rows.clone(), places);
    });
    let size = plan.to.channels * plan.from.channels;
    let work = if spread { usize::MAX } else { 0 };
    parallel::chunks(sum, size, work, |place, sum| {
        let (left, right) = (grads.place(place), tiles.place(place));
        let (left, right) = (Matrix::new(left, columns), Matrix::new(right, columns).t());
        gemm((plan.to.channels, columns, plan.from.channels), left, right, sum, !first, false);
    });
}

/// The gradient of the weight from the input and the output's gradient.
pub(super) fn weight_gradient<E: Elem>(plan: &Plan, x: &[E], grad: &[E], out: &mut [E]) {
    let size = PLACES * plan.to.channels * plan.from.channels;
    let blocks = plan.blocks();
    let own_sums = blocks.side_by_side && size <= OWN_SUM;
    let sum_of = |own: Range<usize>| {
        let mut sum = Buffer::scratch(size);
        for i in own.clone() {
            let (rows, how) = (plan.block(&blocks, i), (i == own.start, !own_sums));
            sum_block(plan, x, grad, rows, how, sum.as_mut_slice());
        }
        sum
    };
    if !own_sums {
        return weight_back(sum_of(0..blocks.count).as_slice(), out);
    }
    let parts = PARTS.min(blocks.count);
    let mut sums = parallel::collect(parts, plan.work(), |part| {
        sum_of(blocks.count * part / parts..blocks.count * (part + 1) / parts)
    });
    let (whole, others) = sums.split_at_mut(1);
    for other in others {
        super::map::add_into(whole[0].as_mut_slice(), other.as_slice());
    }
    weight_back(whole[0].as_slice(), out);
}

#[cfg(test)]
mod tests;
