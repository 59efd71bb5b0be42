//! The stages of a network of integers, on images with their channels last.

use super::{
    kernel::{Rows, Weights},
    level::{Epilogue, wide},
};
use std::borrow::Cow;

/// Places that are multiplied together: their sums stay in cache.
const TILE: usize = 64;

/// The shape of one sample: height, width, channels. A vector is `[1, 1, d]`.
pub(super) type Sample = [usize; 3];

/// Where the windows of a convolution are, in images with their padding.
#[derive(Debug)]
pub(super) struct Places {
    from: Sample,
    padding: [usize; 2],
    stride: [usize; 2],
    to: [usize; 2],
    /// Where each run of a window begins, from its first byte.
    offsets: Vec<usize>,
}

impl Places {
    /// `windows` are stride, padding and dilation.
    pub(super) fn new(
        from: Sample,
        kernel: [usize; 2],
        [stride, padding, dilation]: [[usize; 2]; 3],
        to: [usize; 2],
    ) -> Self {
        let [_, width, channels] = from;
        let row = (width + 2 * padding[1]) * channels;
        // A row of a window is one run, unless there is something in between.
        let columns = if dilation[1] == 1 { 1 } else { kernel[1] };
        let column = |y: usize| (0..columns).map(move |x| (y, x));
        let at = |(y, x)| y * dilation[0] * row + x * dilation[1] * channels;
        let offsets = (0..kernel[0]).flat_map(column).map(at).collect();
        Self { from, padding, stride, to, offsets }
    }

    /// The runs of a window.
    pub(super) fn runs(&self) -> usize {
        self.offsets.len()
    }

    /// Height and width with the padding.
    fn padded(&self) -> [usize; 2] {
        [self.from[0] + 2 * self.padding[0], self.from[1] + 2 * self.padding[1]]
    }

    /// The first byte of the window of an output place, counted over all samples.
    fn start(&self, place: usize) -> usize {
        let ([height, width], [oh, ow]) = (self.padded(), self.to);
        let (y, x) = (place / ow % oh, place % ow);
        let row = place / (oh * ow) * height + y * self.stride[0];
        (row * width + x * self.stride[1]) * self.from[2]
    }

    /// All samples with their padding, which is `zero`. Kernels read runs of a multiple
    /// of 4 bytes, `run`: there are some more at the end, if they need them.
    fn pad<'a>(&self, bytes: &'a [u8], zero: u8, run: usize) -> Cow<'a, [u8]> {
        let [height, width, channels] = self.from;
        let size = height * width * channels;
        if self.padding == [0, 0] && self.exact(run) {
            return bytes.into();
        }
        let [_, wide] = self.padded();
        let (top, left) = (self.padding[0] * wide * channels, self.padding[1] * channels);
        let samples = bytes.len() / size.max(1);
        let mut all = Vec::with_capacity(samples * (size + 2 * top + 2 * height * left) + 3);
        for image in bytes.chunks(size.max(1)) {
            all.resize(all.len() + top, zero);
            for row in image.chunks(width * channels) {
                all.resize(all.len() + left, zero);
                all.extend_from_slice(row);
                all.resize(all.len() + left, zero);
            }
            all.resize(all.len() + top, zero);
        }
        all.resize(all.len() + 3, zero);
        all.into()
    }

    /// Whether the last window ends where the image does or before, as kernels read it.
    fn exact(&self, run: usize) -> bool {
        let last = self.start((self.to[0] * self.to[1]).saturating_sub(1));
        let end = last + self.offsets.last().copied().unwrap_or(0) + run;
        end <= self.from.iter().product()
    }
}

/// An affine layer.
#[derive(Debug)]
pub(super) struct Affine {
    pub(super) weights: Weights,
    pub(super) epilogue: Epilogue,
    pub(super) places: Places,
    /// The level that stands for 0 in its inputs.
    pub(super) zero: u8,
    pub(super) to: Sample,
    /// Whether it is a `Linear` layer, which gives vectors.
    pub(super) linear: bool,
}

impl Affine {
    /// `finish(sums, out)` for tiles of places of all samples.
    fn run<B: Send>(&self, bytes: &[u8], out: &mut [B], finish: impl Fn(&[i32], &mut [B]) + Sync) {
        let outputs = self.weights.outputs();
        let work = out.len() * self.weights.inputs();
        let bytes = self.places.pad(bytes, self.zero, self.weights.run());
        let task = |tile: usize, out: &mut [B]| {
            let count = out.len() / outputs;
            let mut starts = [0; TILE];
            for (i, start) in starts[..count].iter_mut().enumerate() {
                *start = self.places.start(tile * TILE + i);
            }
            let offsets = &self.places.offsets;
            let rows = Rows { bytes: &bytes, starts: &starts[..count], offsets };
            let mut sums = vec![0; count * self.weights.stride()];
            self.weights.multiply(rows, &mut sums);
            finish(&sums, out);
        };
        #[cfg(feature = "rayon")]
        if work >= 1 << 21 && out.len() > TILE * outputs {
            use rayon::prelude::*;
            let tiles = out.par_chunks_mut(TILE * outputs).enumerate();
            tiles.for_each(|(tile, out)| task(tile, out));
            return;
        }
        let _ = work;
        let tiles = out.chunks_mut(TILE * outputs).enumerate();
        tiles.for_each(|(tile, out)| task(tile, out));
    }

    pub(super) fn bytes(&self, bytes: &[u8], samples: usize) -> Vec<u8> {
        let mut out = vec![0; samples * self.to.iter().product::<usize>()];
        self.run(bytes, &mut out, |sums, out| self.epilogue.bytes(sums, out));
        out
    }

    pub(super) fn numbers(&self, bytes: &[u8], samples: usize) -> Vec<f32> {
        let mut out = vec![0.0; samples * self.to.iter().product::<usize>()];
        self.run(bytes, &mut out, |sums, out| self.epilogue.numbers(sums, out, |_| 1.0));
        out
    }

    /// The bytes that it takes as it is stored.
    pub(super) fn size(&self) -> usize {
        self.weights.inputs() * self.weights.outputs() + 8 * self.weights.outputs()
    }

    /// Multiply-adds for one sample.
    pub(super) fn macs(&self) -> u64 {
        let places = (self.to[0] * self.to[1]) as u64;
        places * (self.weights.inputs() * self.weights.outputs()) as u64
    }
}

/// The maximum of windows: kernel, stride and padding.
pub(super) fn max_pool(
    bytes: &[u8],
    [kernel, stride, padding]: [[usize; 2]; 3],
    [height, width, channels]: Sample,
    [oh, ow, _]: Sample,
) -> Vec<u8> {
    let (size, row) = (height * width * channels, width * channels);
    let samples = bytes.len() / size.max(1);
    let mut out = vec![0; samples * oh * ow * channels];
    let inside = |at: usize, k: usize, axis: usize, most: usize| {
        (at * stride[axis] + k).checked_sub(padding[axis]).filter(|p| *p < most)
    };
    let larger = |to: &mut [u8], from: &[u8]| {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = (*to).max(*from));
    };
    wide(|| {
        // The largest of the rows of a window first, then of its columns. No level is
        // below 0.
        let mut best = vec![0; row];
        for (place, to) in out.chunks_mut(ow * channels).enumerate() {
            let image = &bytes[place / oh * size..][..size];
            best.fill(0);
            for y in (0..kernel[0]).filter_map(|k| inside(place % oh, k, 0, height)) {
                larger(&mut best, &image[y * row..][..row]);
            }
            for (x, to) in to.chunks_mut(channels).enumerate() {
                for x in (0..kernel[1]).filter_map(|k| inside(x, k, 1, width)) {
                    larger(to, &best[x * channels..][..channels]);
                }
            }
        }
    });
    out
}

/// The mean over all places, rounded.
pub(super) fn mean(bytes: &[u8], [height, width, channels]: Sample) -> Vec<u8> {
    let places = (height * width).max(1);
    let mut out = Vec::new();
    for image in bytes.chunks(places * channels) {
        let mut sums = vec![0_u32; channels];
        for place in image.chunks(channels) {
            sums.iter_mut().zip(place).for_each(|(sum, x)| *sum += u32::from(*x));
        }
        let half = places as u32 / 2;
        out.extend(sums.iter().map(|sum| ((sum + half) / places as u32) as u8));
    }
    out
}
