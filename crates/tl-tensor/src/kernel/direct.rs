//! Convolution without a matrix of windows: kernels of several places meet maps that are
//! turned over into [`pixels`].
//!
//! Output, gradient of the input and gradient of the weight are one kind of sum,
//! `out[r] = Σ_t x[r + t] · v[t]`, with the places `r` of results and `t` of terms
//! and with vectors `v` over channels: a tile of results stays in registers over
//! many terms, and no number is computed that is not wanted. Terms of one place of the
//! kernel lie side by side. For `f32`; the order of every sum depends on shapes and on
//! the instruction set alone.

use super::{
    conv::Geometry,
    disjoint::{Disjoint, cast, cast_mut},
    im2col::Windows,
    map, parallel, square,
    tile::{self, Sums, block},
};
use crate::{Elem, buffer::Buffer};
use pixels::Pixels;
use pulp::Arch;
use std::ops::Range;

mod pixels;
mod turn;

/// Places of results that images should have together.
const LONG: usize = 256;
/// Lots that there are at least, if there are so many images.
const LOTS: usize = 4;
/// Numbers of a block of results, and of the weight's gradient of a part.
const RESULTS: usize = 1 << 16;
const OWN_SUM: usize = 1 << 19;
/// Parts in which the weight gradient is summed, and fewest blocks that are shared
/// out instead of it.
const PARTS: usize = 8;
const BLOCKS: usize = 4;
/// Fewest channels of a side whose results fill vectors, and fewest terms of a sum
/// that are worth turning the results around.
const CHANNELS: usize = 12;
const TERMS: usize = 128;
/// Terms of a sum that are added at once, at most: their vectors stay in the first cache.
const AT_ONCE: usize = 96;

/// The pixels of some images that windows, or a strip of them, meet.
fn met(w: &Windows, maps: &[f32]) -> Pixels {
    let range = |axis: usize| {
        let above = if axis == 0 { w.above * w.stride[0] } else { 0 };
        let first = above as isize - w.padding[axis] as isize;
        let windows = (w.out[axis] - 1) * w.stride[axis];
        let kernel = (w.kernel[axis] - 1) * w.dilation[axis];
        first..first + (windows + kernel + 1) as isize
    };
    Pixels::of(maps, w.channels, w.image, [range(0), range(1)])
}

/// Terms that are added at once, of so many.
fn at_once(terms: usize) -> usize {
    terms.div_ceil(terms.div_ceil(AT_ONCE).max(1))
}

/// The places of a kernel, line by line.
fn places(w: &Windows) -> impl Iterator<Item = [usize; 2]> + use<> {
    let [height, width] = w.kernel;
    (0..height).flat_map(move |y| (0..width).map(move |x| [y, x]))
}

/// Where in their pixels the windows of so many images start.
fn windows(w: &Windows, pixels: &Pixels, images: usize) -> Vec<usize> {
    let line = |y: usize| (0..w.out[1]).map(move |x| [y * w.stride[0], x * w.stride[1]]);
    let image =
        |image: usize| (0..w.out[0]).flat_map(line).map(move |pixel| pixels.at(image, pixel));
    (0..images).flat_map(image).collect()
}

/// Where a window finds what the kernel meets: `[place][channel]`.
fn kernel(w: &Windows, pixels: &Pixels) -> Vec<usize> {
    let dilation = w.dilation;
    pixels.channels_of(places(w).map(move |place| [0, 1].map(|a| place[a] * dilation[a])))
}

/// Lines in another order: that of `(a, b)` goes to `(b, a)`, of so many of each.
fn exchanged(lines: &[f32], block: usize, [a, b]: [usize; 2], out: &mut [f32]) {
    for (i, line) in lines.chunks_exact(block).take(a * b).enumerate() {
        let to = i % b * a + i / b;
        out[to * block..(to + 1) * block].copy_from_slice(line);
    }
}

/// A weight `[to, from, place]` as vectors over `to`: `[block][place][from][lane]`.
fn outputs_as_vectors(weight: &[f32], from: usize, area: usize) -> Buffer<f32> {
    let terms = from * area;
    let rows = weight.len() / terms;
    let block = block(rows);
    let mut packed = Buffer::scratch(rows.next_multiple_of(block) * terms);
    parallel::chunks(packed.as_mut_slice(), block * terms, weight.len(), |i, out| {
        let own = weight.chunks_exact(terms).skip(i * block).take(block);
        let mut lines = Buffer::scratch(block * terms);
        turn::from_maps(own, block, lines.as_mut_slice());
        exchanged(lines.as_slice(), block, [from, area], out);
    });
    packed
}

/// The same as vectors over `from`: `[block][place][to][lane]`.
fn inputs_as_vectors(weight: &[f32], from: usize, area: usize) -> Buffer<f32> {
    let (block, to) = (block(from), weight.len() / (from * area));
    let mut packed = Buffer::scratch(from.next_multiple_of(block) * to * area);
    parallel::chunks(packed.as_mut_slice(), block * to * area, weight.len(), |i, out| {
        let mut lines = Buffer::scratch(block * to * area);
        let lines = lines.as_mut_slice();
        for (of, lines) in lines.chunks_exact_mut(block * area).enumerate() {
            let own = weight[of * from * area..][..from * area].chunks_exact(area);
            turn::from_maps(own.skip(i * block).take(block), block, lines);
        }
        exchanged(lines, block, [to, area], out);
    });
    packed
}

/// Images of a lot. By the shapes alone, since sums over images depend on it.
fn lot(g: &Geometry) -> usize {
    LONG.div_ceil(g.windows.columns()).min(g.images.div_ceil(LOTS)).max(1)
}

/// Whether a convolution is one for these kernels.
fn fits<E: Elem>(g: &Geometry) -> bool {
    let w = &g.windows;
    cast::<E, f32>(&[]).is_some()
        && g.groups == 1
        && w.kernel[0] * w.kernel[1] > 1
        && w.columns() > 0
        && g.images > 0
        && tile::lanes() > 1
}

/// `out = conv(x, weight) + bias`; whether this was the way to do it.
pub(super) fn forward<E: Elem>(
    g: &Geometry,
    x: &[E],
    weight: &[E],
    bias: Option<&[E]>,
    out: &mut [E],
) -> bool {
    if !fits::<E>(g) || g.out_channels < CHANNELS || g.windows.rows() < TERMS {
        return false;
    }
    let bias = bias.map(|bias| cast(bias).unwrap_or_default());
    if let (Some(x), Some(weight), Some(out)) = (cast(x), cast(weight), cast_mut(out)) {
        convolve(g, x, weight, bias, out);
    }
    true
}

fn convolve(g: &Geometry, x: &[f32], weight: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    let (w, terms, images) = (&g.windows, g.windows.rows(), lot(g));
    let block = block(g.out_channels);
    let weight = outputs_as_vectors(weight, w.channels, w.kernel[0] * w.kernel[1]);
    let lots = g.images.div_ceil(images);
    // Large maps in strips: their results stay in cache, and threads have enough.
    let tasks = parallel::threads().div_ceil(lots);
    let lines = match images {
        1 => (RESULTS / (block * w.out[1])).min(w.out[0].div_ceil(tasks)).clamp(1, w.out[0]),
        _ => w.out[0],
    };
    let strips: Vec<Windows> = w.strips(lines).collect();
    let out = Disjoint::new(out);
    parallel::collect(lots * strips.len(), g.work(), |task| {
        let (first, strip) = (task / strips.len() * images, &strips[task % strips.len()]);
        let count = images.min(g.images - first);
        let pixels = met(strip, &x[first * g.input_size()..][..count * g.input_size()]);
        let (rows, kernel) = (windows(strip, &pixels, count), kernel(strip, &pixels));
        let columns = strip.columns();
        let mut results = Buffer::scratch(rows.len() * block);
        for (i, vectors) in weight.as_slice().chunks_exact(block * terms).enumerate() {
            let channels = i * block..((i + 1) * block).min(g.out_channels);
            if let Some(bias) = bias {
                for line in results.as_mut_slice().chunks_exact_mut(block) {
                    line[..channels.len()].copy_from_slice(&bias[channels.clone()]);
                }
            }
            Arch::new().dispatch(Sums {
                x: pixels.numbers(),
                rows: &rows,
                terms: &kernel,
                vectors,
                out: results.as_mut_slice(),
                add: bias.is_some(),
                at_once: at_once(terms),
            });
            for image in 0..count {
                let lines = &results.as_slice()[image * columns * block..][..columns * block];
                let size = (channels.len(), columns);
                let map = (first + image) * g.output_size() + channels.start * w.columns();
                let to = (&out, map + strip.above * w.out[1], w.columns());
                // SAFETY: lines of this image and strip: no other task has both.
                #[allow(unsafe_code)]
                unsafe {
                    square::transpose(size, (lines, block), to, false);
                }
            }
        }
    });
}

/// The gradient of the input; whether this was the way to do it.
pub(super) fn input_gradient<E: Elem>(
    g: &Geometry,
    grad: &[E],
    weight: &[E],
    out: &mut [E],
) -> bool {
    let w = &g.windows;
    let (strides, pixels) = (w.stride[0] * w.stride[1], w.image[0] * w.image[1]);
    let terms = g.out_channels * w.kernel[0] * w.kernel[1] / strides;
    // Each entry of a phase is a sum over all places of the kernel, also where these
    // meet no window.
    let wasted = 2 * pixels > 3 * strides * w.columns();
    if !fits::<E>(g) || w.channels < CHANNELS || terms < TERMS || wasted {
        return false;
    }
    if let (Some(grad), Some(weight), Some(out)) = (cast(grad), cast(weight), cast_mut(out)) {
        gradient_back(g, grad, weight, out);
    }
    true
}

/// Pixels that lie a multiple of the stride apart meet the same places of the kernel.
struct Phase {
    /// The first of the pixels, and the windows that they are the first entries of, one by
    /// one.
    first: [usize; 2],
    windows: [Range<usize>; 2],
    /// The places, and how many windows before those they meet the pixels.
    places: Vec<(usize, [usize; 2])>,
}

impl Phase {
    fn all(w: &Windows) -> Vec<Self> {
        let of = |phase: [usize; 2]| {
            let along = |axis: usize| {
                let (stride, padding) = (w.stride[axis], w.padding[axis]);
                let first = padding.saturating_sub(phase[axis]).div_ceil(stride);
                let end = (w.image[axis] + padding).saturating_sub(phase[axis]).div_ceil(stride);
                first..end.max(first)
            };
            let meets = |(i, place): (usize, [usize; 2])| {
                let at = [0, 1].map(|axis| place[axis] * w.dilation[axis]);
                let same = [0, 1].map(|axis| at[axis] % w.stride[axis]) == phase;
                same.then(|| (i, [0, 1].map(|axis| at[axis] / w.stride[axis])))
            };
            let windows = [along(0), along(1)];
            let first = [0, 1].map(|axis| {
                let entry = windows[axis].start * w.stride[axis] + phase[axis];
                entry.saturating_sub(w.padding[axis])
            });
            Self { first, windows, places: places(w).enumerate().filter_map(meets).collect() }
        };
        let [down, across] = w.stride;
        (0..down).flat_map(|a| (0..across).map(move |b| [a, b])).map(of).collect()
    }

    /// Its pixels, as places in a map.
    fn pixels(&self, w: &Windows) -> Vec<usize> {
        let [y, x] = self.first;
        let line = |i: usize| {
            let start = (y + i * w.stride[0]) * w.image[1] + x;
            (0..self.windows[1].len()).map(move |j| start + j * w.stride[1])
        };
        (0..self.windows[0].len()).flat_map(line).collect()
    }

    /// Their windows in the pixels of so many images.
    fn rows(&self, pixels: &Pixels, images: usize) -> Vec<usize> {
        let [down, across] = self.windows.clone();
        let line = |y: usize| across.clone().map(move |x| [y, x]);
        let image = |i: usize| down.clone().flat_map(line).map(move |window| pixels.at(i, window));
        (0..images).flat_map(image).collect()
    }

    /// The vectors of its places.
    fn vectors(&self, all: &[f32], line: usize, area: usize) -> Buffer<f32> {
        let mut own = Buffer::scratch(all.len() / area * self.places.len());
        let mut lines = own.as_mut_slice().chunks_exact_mut(line);
        for vectors in all.chunks_exact(area * line) {
            for (&(place, _), to) in self.places.iter().zip(&mut lines) {
                to.copy_from_slice(&vectors[place * line..][..line]);
            }
        }
        own
    }
}

fn gradient_back(g: &Geometry, grad: &[f32], weight: &[f32], out: &mut [f32]) {
    let (w, images, area) = (&g.windows, lot(g), g.windows.kernel[0] * g.windows.kernel[1]);
    let (plane, block) = (w.image[0] * w.image[1], block(w.channels));
    let all = inputs_as_vectors(weight, w.channels, area);
    let phases = Phase::all(w);
    let vectors = |phase: &Phase| phase.vectors(all.as_slice(), g.out_channels * block, area);
    let vectors: Vec<Buffer<f32>> = phases.iter().map(vectors).collect();
    // Windows before those that a pixel is the first entry of, and the last of these.
    let before = [0, 1].map(|axis| (w.kernel[axis] - 1) * w.dilation[axis] / w.stride[axis]);
    let range = |axis: usize| {
        let end = phases.iter().map(|phase| phase.windows[axis].end).max().unwrap_or(0);
        -(before[axis] as isize)..end as isize
    };
    let ranges = [range(0), range(1)];
    parallel::chunks(out, images * g.input_size(), g.work(), |task, out| {
        out.fill(0.0);
        let count = out.len() / g.input_size();
        let maps = &grad[task * images * g.output_size()..][..count * g.output_size()];
        let grads = Pixels::of(maps, g.out_channels, w.out, ranges.clone());
        for (phase, vectors) in phases.iter().zip(&vectors) {
            let (rows, pixels) = (phase.rows(&grads, count), phase.pixels(w));
            if phase.places.is_empty() || pixels.is_empty() {
                continue;
            }
            let shifts =
                phase.places.iter().map(|(_, by)| [0, 1].map(|axis| before[axis] - by[axis]));
            let terms = grads.channels_of(shifts);
            let mut back = Buffer::scratch(rows.len() * block);
            let vectors = vectors.as_slice().chunks_exact(block * terms.len());
            for (i, vectors) in vectors.enumerate() {
                Arch::new().dispatch(Sums {
                    x: grads.numbers(),
                    rows: &rows,
                    terms: &terms,
                    vectors,
                    out: back.as_mut_slice(),
                    add: false,
                    at_once: at_once(terms.len()),
                });
                for image in 0..count {
                    let lines = &back.as_slice()[image * pixels.len() * block..];
                    let lines = &lines[..pixels.len() * block];
                    let first = image * w.channels + i * block;
                    let channels = block.min(w.channels - i * block);
                    let planes = out[first * plane..][..channels * plane].chunks_exact_mut(plane);
                    turn::into_pixels(lines, block, &pixels, planes);
                }
            }
        }
    });
}

/// Adds the gradient of the weight to `out`, which is 0; whether this was the way
/// to do it.
pub(super) fn weight_gradient<E: Elem>(g: &Geometry, x: &[E], grad: &[E], out: &mut [E]) -> bool {
    let large = out.len() > OWN_SUM;
    if !fits::<E>(g)
        || g.out_channels < CHANNELS
        || g.windows.rows() < CHANNELS
        || large && g.out_channels.div_ceil(block(g.out_channels)) < BLOCKS
    {
        return false;
    }
    if let (Some(x), Some(grad), Some(out)) = (cast(x), cast(grad), cast_mut(out)) {
        let sum = if large { sum_by_block(g, x, grad) } else { sum_by_part(g, x, grad) };
        let (block, kernel) = (block(g.out_channels), g.windows.rows());
        let order = [kernel / g.windows.channels, g.windows.channels];
        let mut lines = Buffer::scratch(kernel * block);
        let sums = sum.as_slice().chunks_exact(kernel * block);
        for (sum, out) in sums.zip(out.chunks_mut(block * kernel)) {
            exchanged(sum, block, order, lines.as_mut_slice());
            square::transpose_into((out.len() / kernel, kernel), (lines.as_slice(), block), out);
        }
    }
    true
}

/// A lot of images, as pixels, for the gradient of the weight.
struct Meets {
    x: Pixels,
    kernel: Vec<usize>,
    windows: Vec<usize>,
    first: usize,
    images: usize,
}

impl Meets {
    fn of(g: &Geometry, number: usize, x: &[f32]) -> Self {
        let first = number * lot(g);
        let images = lot(g).min(g.images - first);
        let x = met(&g.windows, &x[first * g.input_size()..][..images * g.input_size()]);
        let (kernel, windows) = (kernel(&g.windows, &x), windows(&g.windows, &x, images));
        Self { x, kernel, windows, first, images }
    }

    /// Adds to the gradient `[place of the kernel][channel]` of a block of channels.
    fn add(&self, g: &Geometry, grad: &[f32], number: usize, sum: &mut [f32]) {
        let (block, columns) = (block(g.out_channels), g.windows.columns());
        let channels = number * block..((number + 1) * block).min(g.out_channels);
        let mut vectors = Buffer::scratch(self.windows.len() * block);
        let lines = vectors.as_mut_slice().chunks_exact_mut(columns * block);
        for (lines, image) in lines.zip(self.first..self.first + self.images) {
            let maps = &grad[image * g.output_size()..][..g.output_size()];
            let maps = channels.clone().map(|channel| &maps[channel * columns..][..columns]);
            turn::from_maps(maps, block, lines);
        }
        Arch::new().dispatch(Sums {
            x: self.x.numbers(),
            rows: &self.kernel,
            terms: &self.windows,
            vectors: vectors.as_slice(),
            out: sum,
            add: true,
            at_once: at_once(self.windows.len()),
        });
    }
}

/// The gradient of a weight, summed in parts that have some lots each:
/// `[block][place of the kernel][channel]`.
fn sum_by_part(g: &Geometry, x: &[f32], grad: &[f32]) -> Buffer<f32> {
    let size = g.windows.rows() * block(g.out_channels);
    let blocks = g.out_channels.div_ceil(block(g.out_channels));
    let lots = g.images.div_ceil(lot(g));
    let parts = PARTS.min(lots);
    let sums = parallel::collect(parts, g.work(), |part| {
        let mut sum = Buffer::filled(blocks * size, 0.0);
        for number in lots * part / parts..lots * (part + 1) / parts {
            let meets = Meets::of(g, number, x);
            for (block, sum) in sum.as_mut_slice().chunks_exact_mut(size).enumerate() {
                meets.add(g, grad, block, sum);
            }
        }
        sum
    });
    let mut sums = sums.into_iter();
    let mut whole = sums.next().unwrap_or_else(|| Buffer::filled(blocks * size, 0.0));
    for sum in sums {
        map::add_into(whole.as_mut_slice(), sum.as_slice());
    }
    whole
}

/// The same of a large weight: each task has a block of channels, no sum is held
/// twice.
fn sum_by_block(g: &Geometry, x: &[f32], grad: &[f32]) -> Buffer<f32> {
    let size = g.windows.rows() * block(g.out_channels);
    let blocks = g.out_channels.div_ceil(block(g.out_channels));
    let lots = g.images.div_ceil(lot(g));
    let meets = parallel::collect(lots, g.work(), |number| Meets::of(g, number, x));
    let mut sum = Buffer::filled(blocks * size, 0.0);
    parallel::chunks(sum.as_mut_slice(), size, g.work(), |block, sum| {
        for meets in &meets {
            meets.add(g, grad, block, sum);
        }
    });
    sum
}

#[cfg(test)]
mod tests;
