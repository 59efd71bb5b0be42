//! Maps turned over, so that all channels of a pixel lie side by side, with zeros around.

use crate::{buffer::Buffer, kernel::square};
use std::ops::Range;

/// Some images: `[image][line][column][channel]`.
pub(super) struct Pixels {
    numbers: Buffer<f32>,
    channels: usize,
    /// Lines and columns of an image.
    size: [usize; 2],
}

impl Pixels {
    /// Some lines and columns of maps `[image][channel]` of this size, 0 beyond them.
    pub(super) fn of(
        maps: &[f32],
        channels: usize,
        [height, width]: [usize; 2],
        [lines, columns]: [Range<isize>; 2],
    ) -> Self {
        let image = channels * height * width;
        let line = columns.len() * channels;
        let mut numbers = Buffer::scratch(maps.len() / image * lines.len() * line);
        let (down, across) = (inside(&lines, height), inside(&columns, width));
        let rows = (down.start as isize - lines.start) as usize;
        let left = (across.start as isize - columns.start) as usize * channels;
        let whole = columns == (0..width as isize);
        let mut turned = Buffer::scratch(if whole { 0 } else { down.len() * width * channels });
        let images = numbers.as_mut_slice().chunks_exact_mut((lines.len() * line).max(1));
        for (maps, into) in maps.chunks_exact(image).zip(images) {
            let (above, rest) = into.split_at_mut(rows * line);
            let (within, below) = rest.split_at_mut(down.len() * line);
            above.fill(0.0);
            below.fill(0.0);
            if within.is_empty() {
                continue;
            }
            let to = if whole { &mut *within } else { turned.as_mut_slice() };
            let from = (&maps[down.start * width..], height * width);
            turn((down.len() * width, channels), from, to);
            if whole {
                continue;
            }
            let from = turned.as_slice().chunks_exact(width * channels);
            for (out, from) in within.chunks_exact_mut(line).zip(from) {
                let from = &from[across.start * channels..across.end * channels];
                out[..left].fill(0.0);
                out[left..left + from.len()].copy_from_slice(from);
                out[left + from.len()..].fill(0.0);
            }
        }
        Self { numbers, channels, size: [lines.len(), columns.len()] }
    }

    pub(super) fn numbers(&self) -> &[f32] {
        self.numbers.as_slice()
    }

    /// Where the channels of a pixel begin.
    pub(super) fn at(&self, image: usize, [line, column]: [usize; 2]) -> usize {
        ((image * self.size[0] + line) * self.size[1] + column) * self.channels
    }

    /// Where each channel of some pixels is, of the first image.
    pub(super) fn channels_of(&self, pixels: impl Iterator<Item = [usize; 2]>) -> Vec<usize> {
        let channels = |pixel| (0..self.channels).map(move |c| self.at(0, pixel) + c);
        pixels.flat_map(channels).collect()
    }
}

/// `to[pixel][channel] = from[channel][pixel]`, channels of `from` are `step` apart.
fn turn((pixels, channels): (usize, usize), (from, step): (&[f32], usize), to: &mut [f32]) {
    if channels >= square::SIDE {
        return square::transpose_into((pixels, channels), (from, step), to);
    }
    for channel in 0..channels {
        let map = &from[channel * step..][..pixels];
        for (to, &x) in to[channel..].iter_mut().step_by(channels).zip(map) {
            *to = x;
        }
    }
}

/// The part of a range that is within `0..size`.
fn inside(range: &Range<isize>, size: usize) -> Range<usize> {
    let within = |x: isize| x.clamp(0, size as isize) as usize;
    within(range.start)..within(range.end)
}
