//! The stages of a network of integers, on images with their channels last.

use super::{kernel::Weights, level::Epilogue};

/// Places that are multiplied together: their patches stay in cache.
const TILE: usize = 64;

/// The shape of one sample: height, width, channels. A vector is `[1, 1, d]`.
pub(super) type Sample = [usize; 3];

/// An affine layer.
#[derive(Debug)]
pub(super) struct Affine {
    pub(super) weights: Weights,
    pub(super) epilogue: Epilogue,
    pub(super) kernel: [usize; 2],
    /// Stride, padding and dilation.
    pub(super) windows: [[usize; 2]; 3],
    /// The level that stands for 0 in its inputs.
    pub(super) zero: u8,
    pub(super) from: Sample,
    pub(super) to: Sample,
    /// Whether it is a `Linear` layer, which gives vectors.
    pub(super) linear: bool,
}

impl Affine {
    /// `finish(row, sums, out)` for every place of every sample.
    fn run<B: Send>(&self, bytes: &[u8], out: &mut [B], finish: impl Fn(&[i32], &mut [B]) + Sync) {
        let (outputs, width, stride) =
            (self.weights.outputs(), self.weights.width(), self.weights.stride());
        let work = out.len() * self.weights.inputs();
        let task = |first: usize, out: &mut [B]| {
            let rows = out.len() / outputs;
            let mut patches = vec![0_u8; rows * width];
            let mut sums = vec![0_i32; rows * stride];
            for (i, patch) in patches.chunks_mut(width).enumerate() {
                self.patch(bytes, first + i, patch);
            }
            self.weights.multiply(&patches, &mut sums);
            for (sums, out) in sums.chunks(stride).zip(out.chunks_mut(outputs)) {
                finish(&sums[..outputs], out);
            }
        };
        #[cfg(feature = "rayon")]
        if work >= 1 << 21 && out.len() > TILE * outputs {
            use rayon::prelude::*;
            let tiles = out.par_chunks_mut(TILE * outputs).enumerate();
            tiles.for_each(|(t, out)| task(t * TILE, out));
            return;
        }
        let _ = work;
        let tiles = out.chunks_mut(TILE * outputs).enumerate();
        tiles.for_each(|(t, out)| task(t * TILE, out));
    }

    pub(super) fn bytes(&self, bytes: &[u8], samples: usize) -> Vec<u8> {
        let mut out = vec![0; samples * self.to.iter().product::<usize>()];
        self.run(bytes, &mut out, |sums, out| self.epilogue.bytes(sums, out));
        out
    }

    pub(super) fn numbers(&self, bytes: &[u8], samples: usize) -> Vec<f32> {
        let mut out = vec![0.0; samples * self.to.iter().product::<usize>()];
        self.run(bytes, &mut out, |sums, out| self.epilogue.numbers(sums, out));
        out
    }

    /// The inputs of one output place, row by row of the kernel.
    fn patch(&self, bytes: &[u8], place: usize, patch: &mut [u8]) {
        let ([height, width, channels], [oh, ow, _]) = (self.from, self.to);
        let [stride, padding, dilation] = self.windows;
        let size = height * width * channels;
        let image = &bytes[place / (oh * ow) * size..][..size];
        let (y, x) = (place / ow % oh, place % ow);
        let top = (y * stride[0]) as isize - padding[0] as isize;
        let left = (x * stride[1]) as isize - padding[1] as isize;
        let mut to = patch.chunks_mut(channels.max(1));
        for ky in 0..self.kernel[0] {
            let y = top + (ky * dilation[0]) as isize;
            let row = usize::try_from(y).ok().filter(|y| *y < height);
            for kx in 0..self.kernel[1] {
                let x = left + (kx * dilation[1]) as isize;
                let Some(to) = to.next() else { return };
                match (row, usize::try_from(x).ok().filter(|x| *x < width)) {
                    (Some(y), Some(x)) => {
                        let at = (y * width + x) * channels;
                        to.copy_from_slice(&image[at..at + channels]);
                    }
                    _ => to.fill(self.zero),
                }
            }
        }
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
    let size = height * width * channels;
    let samples = bytes.len() / size.max(1);
    let mut out = vec![0; samples * oh * ow * channels];
    let inside = |at: usize, k: usize, axis: usize, most: usize| {
        (at * stride[axis] + k).checked_sub(padding[axis]).filter(|p| *p < most)
    };
    for (place, to) in out.chunks_mut(channels).enumerate() {
        let image = &bytes[place / (oh * ow) * size..][..size];
        let (y, x) = (place / ow % oh, place % ow);
        for y in (0..kernel[0]).filter_map(|k| inside(y, k, 0, height)) {
            for x in (0..kernel[1]).filter_map(|k| inside(x, k, 1, width)) {
                let from = &image[(y * width + x) * channels..][..channels];
                to.iter_mut().zip(from).for_each(|(to, from)| *to = (*to).max(*from));
            }
        }
    }
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
