//! Lines over channels into maps of a channel, and back.
#![allow(unsafe_code)]

/// Lines that are turned together: their part of a map is a line of the cache.
const SIDE: usize = 16;

/// `SIDE` by `SIDE` numbers, row by row.
type Square = [f32; SIDE * SIDE];

/// `to[c][r] = from[r][c]`.
fn turned(from: &Square) -> Square {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the machine has the instructions.
        return unsafe { avx512(from) };
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx") {
        // SAFETY: as above.
        return unsafe { avx(from) };
    }
    std::array::from_fn(|i| from[i % SIDE * SIDE + i / SIDE])
}

/// [`turned`] by four rounds of pairs: neighbours, pairs of neighbours, quarters of
/// a register, halves of it.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(from: &Square) -> Square {
    use std::arch::x86_64::*;
    let mut a = [_mm512_setzero_ps(); SIDE];
    for (r, a) in a.iter_mut().enumerate() {
        // SAFETY: row `r` of 16 numbers; the load needs no alignment.
        *a = unsafe { _mm512_loadu_ps(from.as_ptr().add(SIDE * r)) };
    }
    let mut b = a;
    for r in (0..SIDE).step_by(2) {
        b[r] = _mm512_unpacklo_ps(a[r], a[r + 1]);
        b[r + 1] = _mm512_unpackhi_ps(a[r], a[r + 1]);
    }
    // Quarter `q` of `c[4 i + j]` is column `4 q + j` of rows `4 i..4 i + 4`.
    let mut c = a;
    for i in (0..SIDE).step_by(4) {
        for half in 0..2 {
            let x = _mm512_castps_pd(b[i + half]);
            let y = _mm512_castps_pd(b[i + 2 + half]);
            c[i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
            c[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
        }
    }
    let mut out = [0.0; SIDE * SIDE];
    for j in 0..4 {
        let low = _mm512_shuffle_f32x4::<0b01_00_01_00>(c[j], c[4 + j]);
        let high = _mm512_shuffle_f32x4::<0b11_10_11_10>(c[j], c[4 + j]);
        let low_of_rest = _mm512_shuffle_f32x4::<0b01_00_01_00>(c[8 + j], c[12 + j]);
        let high_of_rest = _mm512_shuffle_f32x4::<0b11_10_11_10>(c[8 + j], c[12 + j]);
        let columns = [
            _mm512_shuffle_f32x4::<0b10_00_10_00>(low, low_of_rest),
            _mm512_shuffle_f32x4::<0b11_01_11_01>(low, low_of_rest),
            _mm512_shuffle_f32x4::<0b10_00_10_00>(high, high_of_rest),
            _mm512_shuffle_f32x4::<0b11_01_11_01>(high, high_of_rest),
        ];
        for (q, column) in columns.into_iter().enumerate() {
            // SAFETY: row `4 q + j` of 16 numbers; the store needs no alignment.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr().add(SIDE * (4 * q + j)), column) };
        }
    }
    out
}

/// [`turned`] by quarters of eight by eight, in three rounds of pairs.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
fn avx(from: &Square) -> Square {
    use std::arch::x86_64::*;
    const HALF: usize = SIDE / 2;
    let mut out = [0.0; SIDE * SIDE];
    for (top, left) in [(0, 0), (0, HALF), (HALF, 0), (HALF, HALF)] {
        let mut a = [_mm256_setzero_ps(); HALF];
        for (r, a) in a.iter_mut().enumerate() {
            // SAFETY: half of a row of 16 numbers; the load needs no alignment.
            *a = unsafe { _mm256_loadu_ps(from.as_ptr().add(SIDE * (top + r) + left)) };
        }
        let mut b = a;
        for r in (0..HALF).step_by(2) {
            b[r] = _mm256_unpacklo_ps(a[r], a[r + 1]);
            b[r + 1] = _mm256_unpackhi_ps(a[r], a[r + 1]);
        }
        // Half `h` of `c[4 i + j]` is column `4 h + j` of rows `4 i..4 i + 4`.
        let mut c = a;
        for i in (0..HALF).step_by(4) {
            for j in 0..2 {
                c[i + 2 * j] = _mm256_shuffle_ps::<0b01_00_01_00>(b[i + j], b[i + 2 + j]);
                c[i + 2 * j + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(b[i + j], b[i + 2 + j]);
            }
        }
        for j in 0..4 {
            let low = _mm256_permute2f128_ps::<0b10_00_00>(c[j], c[4 + j]);
            let high = _mm256_permute2f128_ps::<0b11_00_01>(c[j], c[4 + j]);
            for (column, numbers) in [(j, low), (4 + j, high)] {
                let at = SIDE * (left + column) + top;
                // SAFETY: half of a row; the store needs no alignment.
                unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(at), numbers) };
            }
        }
    }
    out
}

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

/// `maps[c][i] = lines[i][c] + bias[c]`, lines of `block` numbers.
pub(super) fn into_maps<'a>(
    lines: &[f32],
    block: usize,
    bias: Option<&[f32]>,
    maps: impl Iterator<Item = &'a mut [f32]>,
) {
    let mut maps: Vec<&mut [f32]> = maps.collect();
    for (first, maps) in maps.chunks_mut(SIDE).enumerate().map(|(i, maps)| (i * SIDE, maps)) {
        for (at, lines) in lines.chunks(SIDE * block).enumerate().map(|(i, l)| (i * SIDE, l)) {
            let turned = turned(&square(lines, block, first));
            let count = lines.len() / block;
            for (i, (map, row)) in maps.iter_mut().zip(turned.as_chunks::<SIDE>().0).enumerate() {
                let bias = bias.map_or(0.0, |bias| bias[first + i]);
                let map = &mut map[at..at + count];
                if let Ok(map) = <&mut [f32; SIDE]>::try_from(&mut *map) {
                    *map = row.map(|x| x + bias);
                } else {
                    map.iter_mut().zip(row).for_each(|(out, x)| *out = x + bias);
                }
            }
        }
    }
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
    fn a_square_is_turned_as_the_definition_says() {
        let from: Square = std::array::from_fn(|i| i as f32);
        let to = turned(&from);
        // Also where there is a wider way.
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx") {
            // SAFETY: the machine has the instructions.
            assert_eq!(unsafe { avx(&from) }, to);
        }
        for r in 0..SIDE {
            for c in 0..SIDE {
                assert_eq!(to[c * SIDE + r], from[r * SIDE + c]);
            }
        }
    }

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
            into_maps(&lines, block, None, back.iter_mut().map(Vec::as_mut_slice));
            assert_eq!(back, maps);
            let turned_around: Vec<usize> = (0..count).rev().collect();
            into_pixels(&lines, block, &turned_around, back.iter_mut().map(Vec::as_mut_slice));
            for (back, map) in back.iter_mut().zip(&maps) {
                back.reverse();
                assert_eq!(back, map);
            }
        }
    }
}
