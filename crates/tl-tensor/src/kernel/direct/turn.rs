//! Lines over channels into maps of a channel, and back.

use crate::kernel::square::{SIDE, Square, turned};

/// Some of up to `SIDE` lines, from `channel` on; 0 beyond.
#[inline]
fn square(lines: &[f32], block: usize, channel: usize) -> Square {
    let mut square = [0.0; SIDE * SIDE];
    let width = SIDE.min(block - channel);
    for (row, line) in square.as_chunks_mut::<SIDE>().0.iter_mut().zip(lines.chunks_exact(block)) {
        if let Ok(line) = line[channel..channel + width].try_into() {
            *row = line;
        } else {
            row[..width].copy_from_slice(&line[channel..channel + width]);
        }
    }
    square
}

/// `planes[c][pixels[i]] = lines[i][c]`.
pub(super) fn into_pixels<'a>(
    lines: &[f32],
    block: usize,
    pixels: &[usize],
    planes: impl Iterator<Item = &'a mut [f32]>,
) {
    let mut planes: Vec<&mut [f32]> = planes.collect();
    for (first, planes) in planes.chunks_mut(SIDE).enumerate().map(|(i, p)| (i * SIDE, p)) {
        for (lines, pixels) in lines.chunks(SIDE * block).zip(pixels.chunks(SIDE)) {
            let turned = turned(&square(lines, block, first));
            for (plane, row) in planes.iter_mut().zip(turned.as_chunks::<SIDE>().0) {
                for (&pixel, &x) in pixels.iter().zip(row) {
                    plane[pixel] = x;
                }
            }
        }
    }
}

/// `lines[i][c] = maps[c][i]`, 0 beyond the last map.
pub(super) fn from_maps<'a>(
    maps: impl Iterator<Item = &'a [f32]>,
    block: usize,
    lines: &mut [f32],
) {
    let maps: Vec<&[f32]> = maps.collect();
    for (first, maps) in maps.chunks(SIDE).enumerate().map(|(i, maps)| (i * SIDE, maps)) {
        let width = SIDE.min(block - first);
        for (at, lines) in lines.chunks_mut(SIDE * block).enumerate().map(|(i, l)| (i * SIDE, l)) {
            let count = lines.len() / block;
            let mut square = [0.0; SIDE * SIDE];
            for (row, map) in square.as_chunks_mut::<SIDE>().0.iter_mut().zip(maps) {
                if let Ok(map) = map[at..at + count].try_into() {
                    *row = map;
                } else {
                    row[..count].copy_from_slice(&map[at..at + count]);
                }
            }
            let turned = turned(&square);
            let rows = turned.as_chunks::<SIDE>().0;
            for (line, row) in lines.chunks_exact_mut(block).zip(rows) {
                line[first..first + width].copy_from_slice(&row[..width]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_maps_of_any_size_go_there_and_back() {
        for (count, channels, block) in [(1, 3, 4), (16, 16, 16), (37, 50, 64), (5, 12, 16)] {
            let maps: Vec<Vec<f32>> =
                (0..channels).map(|c| (0..count).map(|i| (100 * c + i) as f32).collect()).collect();
            let mut lines = vec![7.0; count * block];
            from_maps(maps.iter().map(Vec::as_slice), block, &mut lines);
            for (i, line) in lines.chunks(block).enumerate() {
                for (c, map) in maps.iter().enumerate() {
                    assert_eq!(line[c], map[i]);
                }
            }
            let mut back = vec![vec![0.0; count]; channels];
            let turned_around: Vec<usize> = (0..count).rev().collect();
            into_pixels(&lines, block, &turned_around, back.iter_mut().map(Vec::as_mut_slice));
            for (back, map) in back.iter_mut().zip(&maps) {
                back.reverse();
                assert_eq!(back, map);
            }
        }
    }
}
