//! The transforms of tiles with AVX-512, for `f32`: what [`transform`] does, bit
//! for bit up to the order of two additions.
//!
//! A register of 16 numbers holds four places across four neighbouring tiles:
//! lane `4j + t` is place `j` of tile `t`. Two permutations and one fused
//! multiply-add take a line of the map there, whatever its width, so small maps
//! cost as little a tile as large ones.
//!
//! [`transform`]: super::transform

use super::{PLACES, Plan, fours};
use crate::kernel::disjoint::Disjoint;
use std::{arch::x86_64::*, ops::Range};

/// Whether this machine has what the functions here need.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl")
}

/// How a line of a map goes to the four places across a tile: `a + sign · b`, of
/// two entries of the line.
struct Across {
    a: __m512i,
    b: __m512i,
    sign: __m512,
}

impl Across {
    /// Of entries `2t + a[j]` and `2t + b[j]` of the line.
    #[target_feature(enable = "avx512f")]
    fn new(a: [i32; 4], b: [i32; 4], sign: [f32; 4]) -> Self {
        let lanes = |of: [i32; 4]| -> [i32; 16] {
            std::array::from_fn(|lane| of[lane / 4] + 2 * (lane % 4) as i32)
        };
        let signs: [f32; 16] = std::array::from_fn(|lane| sign[lane / 4]);
        // SAFETY: arrays of 64 bytes; the loads need no alignment.
        unsafe {
            Self {
                a: _mm512_loadu_si512(lanes(a).as_ptr().cast()),
                b: _mm512_loadu_si512(lanes(b).as_ptr().cast()),
                sign: _mm512_loadu_ps(signs.as_ptr()),
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn of(&self, line: __m512) -> __m512 {
        let (a, b) = (_mm512_permutexvar_ps(self.a, line), _mm512_permutexvar_ps(self.b, line));
        _mm512_fmadd_ps(b, self.sign, a)
    }
}

/// A map of which lines are read from any column on, 0 outside.
struct Lines<'a> {
    map: &'a [f32],
    width: usize,
}

impl Lines<'_> {
    /// Sixteen entries of line `y` from column `x - padding` on, 0 where `y` or
    /// the column is outside.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(&self, y: Option<usize>, x: usize, padding: usize) -> __m512 {
        let Some(y) = y.filter(|y| (y + 1) * self.width <= self.map.len()) else {
            return _mm512_setzero_ps();
        };
        let before = padding.saturating_sub(x).min(16);
        let end = (self.width + padding).saturating_sub(x).min(16);
        let mask = ((1_u32 << end) - 1) & !((1_u32 << before) - 1);
        let from = self.map.as_ptr().wrapping_add(y * self.width + x).wrapping_sub(padding);
        // SAFETY: only lanes of the mask are read: columns `x - padding + before`
        // up to `width` of line `y`, which lies inside of the map.
        unsafe { _mm512_maskz_loadu_ps(mask as __mmask16, from) }
    }
}

/// Where the tiles of one channel go.
struct Out<'a> {
    places: [&'a mut [f32]; PLACES],
}

impl Out<'_> {
    /// Stores places `4i..4i + 4` of the first `count` of four tiles from `at` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl")]
    fn put(&mut self, i: usize, at: usize, count: usize, lanes: __m512) {
        let four = [
            _mm512_castps512_ps128(lanes),
            _mm512_extractf32x4_ps::<1>(lanes),
            _mm512_extractf32x4_ps::<2>(lanes),
            _mm512_extractf32x4_ps::<3>(lanes),
        ];
        for (place, tiles) in self.places[4 * i..4 * i + 4].iter_mut().zip(four) {
            let into = &mut place[at..at + count];
            // SAFETY: `count` numbers at `into`, of which a mask takes no more.
            unsafe {
                if count == 4 {
                    _mm_storeu_ps(into.as_mut_ptr(), tiles);
                } else {
                    _mm_mask_storeu_ps(into.as_mut_ptr(), (1 << count) - 1, tiles);
                }
            }
        }
    }
}

/// `Bᵀ d B` of a block's tiles in one map of every image.
///
/// # Safety
/// [`available`].
#[target_feature(enable = "avx512f,avx512vl")]
pub(super) fn input_tiles(
    plan: &Plan,
    x: &[f32],
    channel: usize,
    rows: Range<usize>,
    places: [&mut [f32]; PLACES],
) {
    let [height, width] = plan.from.size;
    let ([down, right], across) = (plan.padding, plan.tiles[1]);
    let to = Across::new([0, 1, 2, 1], [2, 2, 1, 3], [-1.0, 1.0, -1.0, -1.0]);
    let mut out = Out { places };
    for (image, first, count, at) in plan.segments(rows) {
        let map = &x[(image * plan.from.channels + channel) * height * width..][..height * width];
        let lines = Lines { map, width };
        for tile in fours(across) {
            let tiles = across.min(4);
            let line = |line: usize| {
                let y = (2 * first + line).checked_sub(down);
                to.of(lines.load(y, 2 * tile, right))
            };
            let (mut d0, mut d1) = (line(0), line(1));
            for row in 0..count {
                let (d2, d3) = (line(2 * row + 2), line(2 * row + 3));
                let at = at + row * across + tile;
                out.put(0, at, tiles, _mm512_sub_ps(d0, d2));
                out.put(1, at, tiles, _mm512_add_ps(d1, d2));
                out.put(2, at, tiles, _mm512_sub_ps(d2, d1));
                out.put(3, at, tiles, _mm512_sub_ps(d1, d3));
                (d0, d1) = (d2, d3);
            }
        }
    }
}

/// `A g Aᵀ` of a block's tiles in one map of every image.
///
/// # Safety
/// [`available`].
#[target_feature(enable = "avx512f,avx512vl")]
pub(super) fn gradient_tiles(
    plan: &Plan,
    grad: &[f32],
    channel: usize,
    rows: Range<usize>,
    places: [&mut [f32]; PLACES],
) {
    let [height, width] = plan.to.size;
    let across = plan.tiles[1];
    let to = Across::new([0, 0, 0, 1], [0, 1, 1, 1], [0.0, 1.0, -1.0, -2.0]);
    let mut out = Out { places };
    for (image, first, count, at) in plan.segments(rows) {
        let map = &grad[(image * plan.to.channels + channel) * height * width..][..height * width];
        let lines = Lines { map, width };
        for tile in fours(across) {
            let tiles = across.min(4);
            let line = |line: usize| to.of(lines.load(Some(2 * first + line), 2 * tile, 0));
            for row in 0..count {
                let (a, b) = (line(2 * row), line(2 * row + 1));
                let at = at + row * across + tile;
                out.put(0, at, tiles, a);
                out.put(1, at, tiles, _mm512_add_ps(a, b));
                out.put(2, at, tiles, _mm512_sub_ps(a, b));
                out.put(3, at, tiles, _mm512_sub_ps(_mm512_setzero_ps(), b));
            }
        }
    }
}

/// The four outputs of sixteen tiles, side by side: the upper lines of eight
/// tiles and of the next eight, and the lower ones.
#[inline]
#[target_feature(enable = "avx512f")]
fn corners(m: &[&[f32]; PLACES], from: usize, bias: __m512) -> [__m512; 4] {
    let left = (m[0].len() - from).min(16);
    let mask = ((1_u32 << left) - 1) as __mmask16;
    let (mut upper, mut lower) = ([bias; 4], [bias; 4]);
    for j in 0..4 {
        let place = |i: usize| {
            let from = m[4 * i + j][from..].as_ptr();
            // SAFETY: the mask takes what is left of the slice; all have one length.
            unsafe { _mm512_maskz_loadu_ps(mask, from) }
        };
        let (a, b, c, d) = (place(0), place(1), place(2), place(3));
        upper[j] = _mm512_add_ps(_mm512_add_ps(a, b), c);
        lower[j] = _mm512_sub_ps(_mm512_sub_ps(b, c), d);
    }
    let pair = |[a, b, c, d]: [__m512; 4]| {
        let left = _mm512_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), c), bias);
        let right = _mm512_add_ps(_mm512_sub_ps(_mm512_sub_ps(b, c), d), bias);
        let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
        [_mm512_permutex2var_ps(left, low, right), _mm512_permutex2var_ps(left, high, right)]
    };
    let ([a, b], [c, d]) = (pair(upper), pair(lower));
    [a, b, c, d]
}

/// `Aᵀ m A + bias` of a block's tiles, written to one map of every image.
///
/// # Safety
/// [`available`], and no one else has these lines of the maps of this channel.
#[target_feature(enable = "avx512f,avx512vl")]
pub(super) unsafe fn output_maps(
    plan: &Plan,
    m: [&[f32]; PLACES],
    channel: usize,
    rows: Range<usize>,
    bias: f32,
    out: &Disjoint<'_, f32>,
) {
    let [height, width] = plan.to.size;
    let (across, tiles) = (plan.tiles[1], m[0].len());
    let m = m.map(|m| &m[..tiles]);
    let bias = _mm512_set1_ps(bias);
    // The tile at work: its row of tiles over all images, and its place in it.
    let (mut row, mut tile) = (rows.start, 0);
    for from in (0..tiles).step_by(16) {
        let [top, top_next, bottom, bottom_next] = corners(&m, from, bias);
        for (half, top, bottom) in [(0, top, bottom), (8, top_next, bottom_next)] {
            let end = 8.min(tiles.saturating_sub(from + half));
            let mut done = 0;
            while done < end {
                let count = (across - tile).min(end - done);
                let (image, y) = (row / plan.tiles[0], 2 * (row % plan.tiles[0]));
                let map = (image * plan.to.channels + channel) * height * width;
                let entries = (2 * count).min(width - 2 * tile);
                let mask = (((1_u32 << entries) - 1) << (2 * done)) as __mmask16;
                for (y, lanes) in [(y, top), (y + 1, bottom)] {
                    if y < height {
                        // SAFETY: a line of this channel below the rows of this
                        // block, which the caller gave us; the mask takes `entries`
                        // of it from column `2 tile` on.
                        unsafe {
                            let line = out.part(map + y * width + 2 * tile, entries);
                            let to = line.as_mut_ptr().wrapping_sub(2 * done);
                            _mm512_mask_storeu_ps(to, mask, lanes);
                        }
                    }
                }
                done += count;
                tile += count;
                if tile == across {
                    (row, tile) = (row + 1, 0);
                }
            }
        }
    }
}
