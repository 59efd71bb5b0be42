//! Convolution without a matrix of windows: kernels of several places meet the
//! split planes of [`phases`](super::phases) where they are.
//!
//! Output, gradient of the input and gradient of the weight are one kind of sum,
//! `out[r] = Σ_t x[r + t] · v[t]`, with the places `r` of results and `t` of terms
//! and with vectors `v` over channels: a tile of results stays in registers over
//! many terms, and no number is computed that is not wanted. For `f32`; the order of
//! every sum depends on shapes and on the instruction set alone.

use super::{
    conv::Geometry,
    disjoint::{Disjoint, cast, cast_mut},
    map, parallel,
    phases::Layout,
    tile::{self, Sums, block},
};
use crate::{Elem, buffer::Buffer};
use pulp::Arch;

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
const TERMS: usize = 160;

/// Terms of a sum that are added at once, so that their vectors stay in the first cache.
const AT_ONCE: usize = 96;

/// Images whose planes are split side by side: `[channel][phase][image][entry]`.
struct Lot<'w> {
    layout: &'w Layout,
    images: usize,
}

impl Lot<'_> {
    /// From one phase to the next.
    fn step(&self) -> usize {
        self.images * self.layout.size()
    }

    /// Where each place of the kernel meets each of `channels` split planes.
    fn kernel(&self, channels: usize) -> Vec<usize> {
        let places = |channel: usize| {
            let phases = channel * self.layout.phases();
            self.layout.places.iter().map(move |p| (phases + p.phase) * self.step() + p.shift)
        };
        (0..channels).flat_map(places).collect()
    }

    /// Where the windows of all images lie.
    fn windows(&self) -> Vec<usize> {
        let line = |y: usize| (0..self.layout.windows.out[1]).map(move |x| (y, x));
        let image = |image: usize| {
            let start = image * self.layout.size();
            let places = (0..self.layout.windows.out[0]).flat_map(line);
            places.map(move |(y, x)| start + y * self.layout.phase[1] + x)
        };
        (0..self.images).flat_map(image).collect()
    }

    /// All channels of the images, split.
    fn split(&self, g: &Geometry, images: &[f32]) -> Buffer<f32> {
        let (step, phases) = (self.step(), self.layout.phases());
        let size = g.windows.image[0] * g.windows.image[1];
        let mut split = Buffer::scratch(g.windows.channels * phases * step);
        let channels = split.as_mut_slice().chunks_exact_mut(phases * step);
        for (channel, into) in channels.enumerate() {
            into.fill(0.0);
            for image in 0..self.images {
                let plane = &images[image * g.input_size() + channel * size..][..size];
                self.layout.split(plane, &mut into[image * self.layout.size()..], step);
            }
        }
        split
    }

    /// Output planes with lines as long as those of a phase, `lead` zeros before
    /// each channel, which has `width` numbers in all.
    fn widen(&self, g: &Geometry, maps: &[f32], lead: usize, width: usize) -> Buffer<f32> {
        let mut wide = Buffer::filled(g.out_channels * width, 0.0);
        let columns = g.windows.columns();
        for image in 0..self.images {
            for channel in 0..g.out_channels {
                let map = &maps[image * g.output_size() + channel * columns..][..columns];
                let at = channel * width + lead + image * self.layout.size();
                self.layout.widen(map, &mut wide.as_mut_slice()[at..]);
            }
        }
        wide
    }
}

/// A matrix of `terms` columns as vectors over its rows: `[block][term][lane]`, 0
/// beyond the last row.
fn rows_as_vectors(weight: &[f32], terms: usize) -> Buffer<f32> {
    let rows = weight.len() / terms;
    let block = block(rows);
    let mut packed = Buffer::scratch(rows.next_multiple_of(block) * terms);
    parallel::chunks(packed.as_mut_slice(), block * terms, weight.len(), |i, out| {
        let own = weight.chunks_exact(terms).skip(i * block).take(block);
        turn::from_maps(own, block, out);
    });
    packed
}

/// A weight `[to, from, place]` as vectors over `from`: `[block][to][place][lane]`.
fn inputs_as_vectors(weight: &[f32], from: usize, area: usize) -> Buffer<f32> {
    let (block, to) = (block(from), weight.len() / (from * area));
    let mut packed = Buffer::scratch(from.next_multiple_of(block) * to * area);
    parallel::chunks(packed.as_mut_slice(), block * to * area, weight.len(), |i, out| {
        for (of, out) in out.chunks_exact_mut(block * area).enumerate() {
            let own = weight[of * from * area..][..from * area].chunks_exact(area);
            turn::from_maps(own.skip(i * block).take(block), block, out);
        }
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
    let weight = rows_as_vectors(weight, terms);
    let lots = g.images.div_ceil(images);
    // Large maps in strips: their results stay in cache, and threads have enough.
    let tasks = parallel::threads().div_ceil(lots);
    let lines = match images {
        1 => (RESULTS / (block * w.out[1])).min(w.out[0].div_ceil(tasks)).clamp(1, w.out[0]),
        _ => w.out[0],
    };
    let strips: Vec<Layout> = w.strips(lines).map(|strip| Layout::of(&strip)).collect();
    let out = Disjoint::new(out);
    parallel::collect(lots * strips.len(), g.work(), |task| {
        let (first, layout) = (task / strips.len() * images, &strips[task % strips.len()]);
        let lot = Lot { layout, images: images.min(g.images - first) };
        let split = lot.split(g, &x[first * g.input_size()..][..lot.images * g.input_size()]);
        let (rows, kernel) = (lot.windows(), lot.kernel(w.channels));
        let columns = layout.windows.columns();
        let mut results = Buffer::scratch(rows.len() * block);
        for (i, vectors) in weight.as_slice().chunks_exact(block * terms).enumerate() {
            Arch::new().dispatch(Sums {
                x: split.as_slice(),
                rows: &rows,
                terms: &kernel,
                vectors,
                out: results.as_mut_slice(),
                add: false,
                at_once: AT_ONCE,
            });
            for image in 0..lot.images {
                let lines = &results.as_slice()[image * columns * block..][..columns * block];
                let channels = i * block..((i + 1) * block).min(g.out_channels);
                let at = (first + image) * g.output_size() + layout.windows.above * w.out[1];
                let bias = bias.map(|bias| &bias[channels.clone()]);
                let maps = channels.map(|channel| {
                    // SAFETY: lines of this image and strip: no other task has both.
                    #[allow(unsafe_code)]
                    unsafe {
                        out.part(at + channel * w.columns(), columns)
                    }
                });
                turn::into_maps(lines, block, bias, maps);
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

/// Places of the kernel that meet a phase, and the weight's vectors for them.
struct Meeting {
    places: Vec<usize>,
    vectors: Buffer<f32>,
}

impl Meeting {
    fn all(layout: &Layout, vectors: Buffer<f32>, block: usize) -> Vec<Self> {
        let area = layout.places.len();
        if layout.phases() == 1 {
            return vec![Self { places: (0..area).collect(), vectors }];
        }
        let of = |phase: usize| {
            let meets = |&place: &usize| layout.places[place].phase == phase;
            let places: Vec<usize> = (0..area).filter(meets).collect();
            let mut own = Buffer::scratch(vectors.as_slice().len() / area * places.len());
            let mut lines = own.as_mut_slice().chunks_exact_mut(block);
            for vectors in vectors.as_slice().chunks_exact(area * block) {
                for (&place, line) in places.iter().zip(&mut lines) {
                    line.copy_from_slice(&vectors[place * block..][..block]);
                }
            }
            Self { places, vectors: own }
        };
        (0..layout.phases()).map(of).collect()
    }
}

fn gradient_back(g: &Geometry, grad: &[f32], weight: &[f32], out: &mut [f32]) {
    let (w, images, layout) = (&g.windows, lot(g), Layout::of(&g.windows));
    let vectors = inputs_as_vectors(weight, w.channels, layout.places.len());
    let meetings = Meeting::all(&layout, vectors, block(w.channels));
    let (lead, plane, block) = (layout.farthest(), w.image[0] * w.image[1], block(w.channels));
    parallel::chunks(out, images * g.input_size(), g.work(), |task, out| {
        out.fill(0.0);
        let lot = Lot { layout: &layout, images: out.len() / g.input_size() };
        let maps = &grad[task * images * g.output_size()..][..lot.images * g.output_size()];
        let width = lead + lot.step();
        let wide = lot.widen(g, maps, lead, width);
        for (phase, meeting) in meetings.iter().enumerate() {
            if meeting.places.is_empty() {
                continue;
            }
            // The entries of the phase that are pixels, and where in a plane.
            let (mut entries, mut pixels) = (Vec::new(), Vec::new());
            layout.each_line(|to, of, from| {
                if of == phase {
                    pixels.extend((0..from.len()).map(|i| to + i * w.stride[1]));
                    entries.extend(from);
                }
            });
            let starts = (0..lot.images).map(|image| image * layout.size());
            let rows: Vec<usize> =
                starts.flat_map(|start| entries.iter().map(move |entry| start + entry)).collect();
            let shift = |&place: &usize| lead - layout.places[place].shift;
            let shifts =
                |of: usize| meeting.places.iter().map(shift).map(move |shift| of * width + shift);
            let terms: Vec<usize> = (0..g.out_channels).flat_map(shifts).collect();
            let mut back = Buffer::scratch(rows.len() * block);
            let vectors = meeting.vectors.as_slice().chunks_exact(block * terms.len());
            for (i, vectors) in vectors.enumerate() {
                Arch::new().dispatch(Sums {
                    x: wide.as_slice(),
                    rows: &rows,
                    terms: &terms,
                    vectors,
                    out: back.as_mut_slice(),
                    add: false,
                    at_once: AT_ONCE,
                });
                for image in 0..lot.images {
                    let lines = &back.as_slice()[image * entries.len() * block..];
                    let first = image * w.channels + i * block;
                    let count = block.min(w.channels - i * block);
                    let planes = out[first * plane..][..count * plane].chunks_exact_mut(plane);
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
        let lines = sum.as_slice().chunks_exact(kernel * block);
        for (lines, out) in lines.zip(out.chunks_mut(block * kernel)) {
            turn::into_maps(lines, block, None, out.chunks_exact_mut(kernel));
        }
    }
    true
}

/// A lot of images, split, for the gradient of the weight.
struct Meets {
    x: Buffer<f32>,
    kernel: Vec<usize>,
    windows: Vec<usize>,
    first: usize,
    images: usize,
}

impl Meets {
    fn of(g: &Geometry, layout: &Layout, number: usize, x: &[f32]) -> Self {
        let first = number * lot(g);
        let lot = Lot { layout, images: lot(g).min(g.images - first) };
        Self {
            x: lot.split(g, &x[first * g.input_size()..][..lot.images * g.input_size()]),
            kernel: lot.kernel(g.windows.channels),
            windows: lot.windows(),
            first,
            images: lot.images,
        }
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
            x: self.x.as_slice(),
            rows: &self.kernel,
            terms: &self.windows,
            vectors: vectors.as_slice(),
            out: sum,
            add: true,
            at_once: AT_ONCE,
        });
    }
}

/// The gradient of a weight, summed in parts that have some lots each:
/// `[block][place of the kernel][channel]`.
fn sum_by_part(g: &Geometry, x: &[f32], grad: &[f32]) -> Buffer<f32> {
    let layout = Layout::of(&g.windows);
    let size = g.windows.rows() * block(g.out_channels);
    let blocks = g.out_channels.div_ceil(block(g.out_channels));
    let lots = g.images.div_ceil(lot(g));
    let parts = PARTS.min(lots);
    let sums = parallel::collect(parts, g.work(), |part| {
        let mut sum = Buffer::filled(blocks * size, 0.0);
        for number in lots * part / parts..lots * (part + 1) / parts {
            let meets = Meets::of(g, &layout, number, x);
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
    let layout = Layout::of(&g.windows);
    let size = g.windows.rows() * block(g.out_channels);
    let blocks = g.out_channels.div_ceil(block(g.out_channels));
    let lots = g.images.div_ceil(lot(g));
    let meets = parallel::collect(lots, g.work(), |number| Meets::of(g, &layout, number, x));
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
