//! Tiles of maps, transformed and back, sixteen channels at a time.
//!
//! The lines of sixteen maps are turned over, so that each pixel is a vector over
//! channels: a transform is then arithmetic of whole vectors, whatever the size of the
//! maps and wherever a tile lies.
#![allow(unsafe_code)]
// One index into several lanes at once.
#![allow(clippy::needless_range_loop)]

use super::{Maps, Plan, transform::Transform};
use crate::{
    Elem,
    buffer::Buffer,
    kernel::{disjoint::Disjoint, parallel::simd, square},
};
use std::ops::Range;

/// Channels that are transformed together.
pub(super) const LANES: usize = 16;
/// One number of each.
pub(super) type Lanes<E> = [E; LANES];

/// At a boundary of the cache's lines, so that no vector lies across one.
#[repr(C, align(64))]
struct Aligned<T>(T);

/// `f` down and then across a tile of `A` by `A` vectors, for every lane: reads columns by
/// `column`, and hands each of `B` by `B` results to `put`, row by row.
#[inline(always)]
pub(super) fn both<E: Elem, const A: usize, const B: usize>(
    mut column: impl FnMut(usize) -> [Lanes<E>; A],
    f: impl Fn([E; A]) -> [E; B],
    mut put: impl FnMut(usize, usize, &Lanes<E>),
) {
    let mut down = Aligned([[[E::ZERO; LANES]; A]; B]);
    for j in 0..A {
        let column = Aligned(column(j));
        for l in 0..LANES {
            let mut line = [E::ZERO; A];
            for i in 0..A {
                line[i] = column.0[i][l];
            }
            let line = f(line);
            for i in 0..B {
                down.0[i][j][l] = line[i];
            }
        }
    }
    for i in 0..B {
        let mut across = Aligned([[E::ZERO; LANES]; B]);
        for l in 0..LANES {
            let mut line = [E::ZERO; A];
            for j in 0..A {
                line[j] = down.0[i][j][l];
            }
            let line = f(line);
            for j in 0..B {
                across.0[j][l] = line[j];
            }
        }
        for j in 0..B {
            put(i, j, &across.0[j]);
        }
    }
}

/// Transformed tiles `[place][tile][channel]`, with a gap after each place.
pub(super) struct Tiles<E: Elem> {
    buffer: Buffer<E>,
    count: usize,
    /// Channels, in whole vectors.
    width: usize,
    /// From one place to the next.
    step: usize,
}

/// From one place to the next of `size` numbers. All places are written at the same
/// time: a distance that is a multiple of 4 KiB would have them share a few lines
/// of the cache, so it is one line of 16 numbers more than such a multiple.
fn spaced(size: usize) -> usize {
    let lines = size.div_ceil(16);
    16 * (lines + (1 + 64 - lines % 64) % 64)
}

impl<E: Elem> Tiles<E> {
    pub(super) fn new(places: usize, count: usize, width: usize) -> Self {
        let width = width.next_multiple_of(LANES);
        let step = spaced(count * width);
        Self { buffer: Buffer::scratch(places * step), count, width, step }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn place(&self, place: usize) -> &[E] {
        &self.buffer.as_slice()[place * self.step..][..self.count * self.width]
    }

    /// To be written by several tasks.
    pub(super) fn written(&mut self) -> Written<'_, E> {
        let (count, width, step) = (self.count, self.width, self.step);
        Written { all: Disjoint::new(self.buffer.as_mut_slice()), count, width, step }
    }
}

/// Tiles that several tasks write.
pub(super) struct Written<'a, E> {
    all: Disjoint<'a, E>,
    count: usize,
    width: usize,
    step: usize,
}

impl<'a, E> Written<'a, E> {
    /// All tiles of a place.
    ///
    /// # Safety
    /// No one else has this place.
    pub(super) unsafe fn place(&self, place: usize) -> &'a mut [E] {
        // SAFETY: the caller's.
        unsafe { self.all.part(place * self.step, self.count * self.width) }
    }

    /// The vectors of sixteen channels.
    pub(super) fn from(&'a self, lane: usize) -> Into<'a, E> {
        Into { all: &self.all, width: self.width, step: self.step, lane }
    }
}

/// Where vectors of sixteen channels go.
pub(super) struct Into<'a, E> {
    all: &'a Disjoint<'a, E>,
    width: usize,
    step: usize,
    lane: usize,
}

impl<E: Elem> Into<'_, E> {
    /// Where the first place of a tile is, of so many.
    #[inline(always)]
    fn tile(&self, tile: usize, places: usize) -> *mut E {
        let at = tile * self.width + self.lane;
        self.all.at(at + (places - 1) * self.step + LANES - 1);
        self.all.at(at)
    }
}

/// Lines of sixteen maps of an image, turned over: `[line][column][lane]`.
struct Strip<E: Elem> {
    pixels: Buffer<E>,
    width: usize,
}

impl Maps {
    /// Channels that there are from `channel` on, at most sixteen.
    fn lanes(&self, channel: usize) -> usize {
        LANES.min(self.channels - channel)
    }

    /// Where the planes of `channel` and the next begin.
    fn plane(&self, image: usize, channel: usize) -> usize {
        (image * self.channels + channel) * self.size[0] * self.size[1]
    }
}

impl<E: Elem> Strip<E> {
    /// Lines of the maps of an image from `channel` on, 0 beyond the maps.
    fn of(maps: &Maps, x: &[E], (image, channel): (usize, usize), lines: Range<isize>) -> Self {
        let [height, width] = maps.size;
        let lanes = maps.lanes(channel);
        let within = |line: isize| line.clamp(0, height as isize) as usize;
        let inside = within(lines.start)..within(lines.end);
        let size = lines.len() * width * LANES;
        let mut pixels = Buffer::scratch(size);
        let all = pixels.as_mut_slice();
        // What is there already, and zeros around it.
        let start = (inside.start as isize - lines.start) as usize * width * LANES;
        let end = start + inside.len() * width * LANES;
        if lanes < LANES {
            all.fill(E::ZERO);
        } else {
            all[..start].fill(E::ZERO);
            all[end..].fill(E::ZERO);
        }
        if !inside.is_empty() {
            let from = &x[maps.plane(image, channel) + inside.start * width..];
            let into = Disjoint::new(all);
            // SAFETY: it is ours.
            unsafe {
                let size = (inside.len() * width, lanes);
                square::transpose(size, (from, height * width), (&into, start, LANES), false);
            }
        }
        Self { pixels, width }
    }

    /// A column of a tile, from line `y` of the strip on; 0 beyond the maps.
    #[inline(always)]
    fn column<const N: usize>(&self, y: usize, x: isize) -> [Lanes<E>; N] {
        let mut column = [[E::ZERO; LANES]; N];
        if x >= 0 && x < self.width as isize {
            let pixels = self.pixels.as_slice().as_chunks::<LANES>().0;
            let pixels = &pixels[y * self.width + x as usize..][..(N - 1) * self.width + 1];
            for i in 0..N {
                column[i] = pixels[i * self.width];
            }
        }
        column
    }
}

/// Transforms tiles whose sides have `A` pixels by `f`, those of a block, of the maps from
/// `channel` on of every image; tiles are `apart` from each other.
///
/// # Safety
/// No one else has these channels of `into`.
#[inline(always)]
unsafe fn transform_tiles<E: Elem, const A: usize, const N: usize>(
    (plan, apart, padding): (&Plan, usize, [usize; 2]),
    (maps, x, channel): (&Maps, &[E], usize),
    rows: Range<usize>,
    f: impl Fn([E; A]) -> [E; N] + Copy,
    into: &Into<'_, E>,
) {
    let (across, step) = (plan.tiles[1], into.step);
    let [above, left] = padding.map(|padding| padding as isize);
    for (image, first, count, at) in plan.segments(rows) {
        let top = (apart * first) as isize - above;
        let end = top + (apart * (count - 1) + A) as isize;
        let strip = Strip::of(maps, x, (image, channel), top..end);
        simd(
            #[inline(always)]
            || {
                for row in 0..count {
                    for tile in 0..across {
                        let x = (apart * tile) as isize - left;
                        let to = into.tile(at + row * across + tile, N * N);
                        both(
                            #[inline(always)]
                            |j| strip.column::<A>(apart * row, x + j as isize),
                            f,
                            // SAFETY: places of this tile, which `tile` has found inside, of
                            // channels which the caller gave us.
                            #[inline(always)]
                            |i, j, lanes| unsafe {
                                to.add((N * i + j) * step).cast::<Lanes<E>>().write(*lanes);
                            },
                        );
                    }
                }
            },
        );
    }
}

/// `Bᵀ d B` of a block's tiles, of the maps from `channel` on of every image.
///
/// # Safety
/// No one else has these channels of `into`.
pub(super) unsafe fn input_tiles<T: Transform<N, M>, E: Elem, const N: usize, const M: usize>(
    plan: &Plan,
    x: &[E],
    channel: usize,
    rows: Range<usize>,
    into: &Into<'_, E>,
) {
    let how = (plan, M, plan.padding);
    // SAFETY: the caller's.
    unsafe { transform_tiles(how, (&plan.from, x, channel), rows, T::input, into) };
}

/// `A g Aᵀ` of a block's tiles, of the maps from `channel` on of every image: the adjoint
/// of [`output_maps`].
///
/// # Safety
/// No one else has these channels of `into`.
pub(super) unsafe fn gradient_tiles<T: Transform<N, M>, E: Elem, const N: usize, const M: usize>(
    plan: &Plan,
    grad: &[E],
    channel: usize,
    rows: Range<usize>,
    into: &Into<'_, E>,
) {
    let how = (plan, M, [0, 0]);
    // SAFETY: the caller's.
    unsafe { transform_tiles(how, (&plan.to, grad, channel), rows, T::gradient, into) };
}

/// `Aᵀ m A + bias` of the tiles of a block, of channels from `lane` on of `products`, to
/// the maps from `channel` on of every image.
///
/// # Safety
/// No one else has the lines of these maps below the rows of tiles.
pub(super) unsafe fn output_maps<T: Transform<N, M>, E: Elem, const N: usize, const M: usize>(
    plan: &Plan,
    (products, lane): (&Tiles<E>, usize),
    (channel, bias): (usize, Option<&[E]>),
    rows: Range<usize>,
    out: &Disjoint<'_, E>,
) {
    let [height, width] = plan.to.size;
    let (across, lanes) = (plan.tiles[1], plan.to.lanes(channel));
    let mut added = [E::ZERO; LANES];
    if let Some(bias) = bias {
        added[..lanes].copy_from_slice(&bias[channel..channel + lanes]);
    }
    for (image, first, count, at) in plan.segments(rows) {
        let lines = M * first..(M * (first + count)).min(height);
        let mut strip = Buffer::scratch(lines.len() * width * LANES);
        let pixels = strip.as_mut_slice().as_chunks_mut::<LANES>().0;
        simd(
            #[inline(always)]
            || {
                for row in 0..count {
                    for tile in 0..across {
                        let end = M.min(width - M * tile);
                        let below = lines.len() - M * row;
                        both(
                            #[inline(always)]
                            |j| products.column(at + row * across + tile, j, lane),
                            T::output,
                            #[inline(always)]
                            |i, j, y: &Lanes<E>| {
                                if i < below && j < end {
                                    let pixel = &mut pixels[(M * row + i) * width + M * tile + j];
                                    for l in 0..LANES {
                                        pixel[l] = y[l] + added[l];
                                    }
                                }
                            },
                        );
                    }
                }
            },
        );
        let start = plan.to.plane(image, channel) + lines.start * width;
        let size = (lanes, lines.len() * width);
        // SAFETY: lines of these maps below the rows of this block, which the caller
        // gave us.
        unsafe {
            let from = (strip.as_slice(), LANES);
            square::transpose(size, from, (out, start, height * width), false);
        }
    }
}

impl<E: Elem> Tiles<E> {
    /// A column of the places of a tile, of the channels from `lane` on.
    #[inline(always)]
    fn column<const N: usize>(&self, tile: usize, j: usize, lane: usize) -> [Lanes<E>; N] {
        let all = self.buffer.as_slice();
        let mut column = [[E::ZERO; LANES]; N];
        for i in 0..N {
            let at = (N * i + j) * self.step + tile * self.width + lane;
            column[i].copy_from_slice(&all[at..at + LANES]);
        }
        column
    }
}
