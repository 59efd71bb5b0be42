//! The transforms of tiles with AVX, for `f32`: what [`transform`] does, up to the
//! order of additions.
//!
//! Registers hold one place across of four neighbouring tiles: two loads and a
//! shuffle take every other entry of a line there. Masked stores are slow on many
//! of these machines, so the last four tiles of a line overlap the ones before where
//! they do not fit, and lines of fewer tiles are left to [`transform`].
//!
//! [`transform`]: super::transform

use super::{PLACES, Plan, fours};
use crate::kernel::disjoint::Disjoint;
use std::{arch::x86_64::*, marker::PhantomData, ops::Range};

/// Whether this machine has what the functions here need, and lines of `across`
/// tiles are long enough.
pub(super) fn available(across: usize) -> bool {
    across >= 4 && is_x86_feature_detected!("avx")
}

/// Vectors of four entries of a line, 0 outside of it.
struct Columns<const N: usize> {
    from: [isize; N],
    inside: [__m128i; N],
}

impl<const N: usize> Columns<N> {
    /// The vectors from columns `from` on of lines of `width` entries.
    #[inline]
    #[target_feature(enable = "avx")]
    fn new(from: [isize; N], width: usize) -> Self {
        let mut inside = [_mm_setzero_si128(); N];
        for (inside, &from) in inside.iter_mut().zip(&from) {
            let at = _mm_add_epi32(_mm_set1_epi32(from as i32), _mm_setr_epi32(0, 1, 2, 3));
            let started = _mm_cmpgt_epi32(at, _mm_set1_epi32(-1));
            let ended = _mm_cmpgt_epi32(_mm_set1_epi32(width as i32), at);
            *inside = _mm_and_si128(started, ended);
        }
        Self { from, inside }
    }

    /// The vectors of a line.
    #[inline]
    #[target_feature(enable = "avx")]
    fn of(&self, line: &[f32]) -> [__m128; N] {
        let mut vectors = [_mm_setzero_ps(); N];
        for (vector, (&from, &inside)) in vectors.iter_mut().zip(self.from.iter().zip(&self.inside))
        {
            let from = line.as_ptr().wrapping_offset(from);
            // SAFETY: only lanes of the mask are read, which are columns of the line.
            *vector = unsafe { _mm_maskload_ps(from, inside) };
        }
        vectors
    }
}

/// The entries of even, and those of odd number of eight.
#[inline]
#[target_feature(enable = "avx")]
fn every_other(a: __m128, b: __m128) -> [__m128; 2] {
    [_mm_shuffle_ps::<0b10_00_10_00>(a, b), _mm_shuffle_ps::<0b11_01_11_01>(a, b)]
}

/// Where the tiles of one channel go.
struct Out<'a> {
    places: [*mut f32; PLACES],
    tiles: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

impl<'a> Out<'a> {
    fn new(mut places: [&'a mut [f32]; PLACES]) -> Self {
        let tiles = places.iter().map(|place| place.len()).min().unwrap_or(0);
        let places = std::array::from_fn(|i| places[i].as_mut_ptr());
        Self { places, tiles, borrow: PhantomData }
    }

    /// Stores the places of four tiles from `at` on.
    #[inline]
    #[target_feature(enable = "avx")]
    fn put(&mut self, at: usize, rows: [[__m128; 4]; 4]) {
        assert!(at + 4 <= self.tiles, "four tiles");
        for (places, row) in self.places.chunks_exact(4).zip(rows) {
            for (place, four) in places.iter().zip(row) {
                // SAFETY: four numbers from `at` on, which every place has.
                unsafe { _mm_storeu_ps(place.add(at), four) };
            }
        }
    }
}

macro_rules! zip {
    ($f:ident, $a:expr, $b:expr) => {
        [$f($a[0], $b[0]), $f($a[1], $b[1]), $f($a[2], $b[2]), $f($a[3], $b[3])]
    };
}

/// `Bᵀ d B` of a block's tiles in one map of every image.
///
/// # Safety
/// [`available`].
#[target_feature(enable = "avx")]
pub(super) fn input_tiles(
    plan: &Plan,
    x: &[f32],
    channel: usize,
    rows: Range<usize>,
    places: [&mut [f32]; PLACES],
) {
    let [height, width] = plan.from.size;
    let ([down, right], across) = (plan.padding, plan.tiles[1]);
    let mut out = Out::new(places);
    for tile in fours(across) {
        let from = 2 * tile as isize - right as isize;
        let columns = Columns::new([from, from + 4, from + 2, from + 6], width);
        for (image, first, count, at) in plan.segments(rows.clone()) {
            let map = (image * plan.from.channels + channel) * height * width;
            let map = &x[map..][..height * width];
            let line = |line: usize| {
                let y = (2 * first + line).wrapping_sub(down);
                if y >= height {
                    return [_mm_setzero_ps(); 4];
                }
                let [a, b, c, d] = columns.of(&map[y * width..][..width]);
                let ([d0, d1], [d2, d3]) = (every_other(a, b), every_other(c, d));
                [_mm_sub_ps(d0, d2), _mm_add_ps(d1, d2), _mm_sub_ps(d2, d1), _mm_sub_ps(d1, d3)]
            };
            let (mut d0, mut d1) = (line(0), line(1));
            for row in 0..count {
                let (d2, d3) = (line(2 * row + 2), line(2 * row + 3));
                let rows = [
                    zip!(_mm_sub_ps, d0, d2),
                    zip!(_mm_add_ps, d1, d2),
                    zip!(_mm_sub_ps, d2, d1),
                    zip!(_mm_sub_ps, d1, d3),
                ];
                out.put(at + row * across + tile, rows);
                (d0, d1) = (d2, d3);
            }
        }
    }
}

/// `A g Aᵀ` of a block's tiles in one map of every image.
///
/// # Safety
/// [`available`].
#[target_feature(enable = "avx")]
pub(super) fn gradient_tiles(
    plan: &Plan,
    grad: &[f32],
    channel: usize,
    rows: Range<usize>,
    places: [&mut [f32]; PLACES],
) {
    let [height, width] = plan.to.size;
    let across = plan.tiles[1];
    let mut out = Out::new(places);
    for tile in fours(across) {
        let from = 2 * tile as isize;
        let columns = Columns::new([from, from + 4], width);
        for (image, first, count, at) in plan.segments(rows.clone()) {
            let map = (image * plan.to.channels + channel) * height * width;
            let map = &grad[map..][..height * width];
            let zero = _mm_setzero_ps();
            let line = |y: usize| {
                if y >= height {
                    return [zero; 4];
                }
                let [a, b] = columns.of(&map[y * width..][..width]);
                let [left, right] = every_other(a, b);
                let (sum, difference) = (_mm_add_ps(left, right), _mm_sub_ps(left, right));
                [left, sum, difference, _mm_sub_ps(zero, right)]
            };
            for row in 0..count {
                let y = 2 * (first + row);
                let (a, b) = (line(y), line(y + 1));
                let rows = [
                    a,
                    zip!(_mm_add_ps, a, b),
                    zip!(_mm_sub_ps, a, b),
                    zip!(_mm_sub_ps, [zero; 4], b),
                ];
                out.put(at + row * across + tile, rows);
            }
        }
    }
}

/// The outputs of four tiles from `at` on: eight of the upper line, eight of the
/// lower one.
#[inline]
#[target_feature(enable = "avx")]
fn corners(m: &[&[f32]; PLACES], at: usize, bias: __m128) -> [[__m128; 2]; 2] {
    let (mut upper, mut lower) = ([bias; 4], [bias; 4]);
    for j in 0..4 {
        let place = |i: usize| {
            let four = &m[4 * i + j][at..at + 4];
            // SAFETY: four numbers.
            unsafe { _mm_loadu_ps(four.as_ptr()) }
        };
        let (a, b, c, d) = (place(0), place(1), place(2), place(3));
        upper[j] = _mm_add_ps(_mm_add_ps(a, b), c);
        lower[j] = _mm_sub_ps(_mm_sub_ps(b, c), d);
    }
    let line = |[a, b, c, d]: [__m128; 4]| {
        let left = _mm_add_ps(_mm_add_ps(_mm_add_ps(a, b), c), bias);
        let right = _mm_add_ps(_mm_sub_ps(_mm_sub_ps(b, c), d), bias);
        [_mm_unpacklo_ps(left, right), _mm_unpackhi_ps(left, right)]
    };
    [line(upper), line(lower)]
}

/// Writes seven or eight entries.
#[inline]
#[target_feature(enable = "avx")]
fn write(out: &mut [f32], [low, high]: [__m128; 2]) {
    let (start, rest) = out.split_at_mut(4);
    // SAFETY: four numbers, and as many as the slice is asked for.
    unsafe {
        _mm_storeu_ps(start.as_mut_ptr(), low);
        if let [_, _, _, _] = rest {
            _mm_storeu_ps(rest.as_mut_ptr(), high);
        } else {
            let rest = &mut rest[..3];
            _mm_storel_pd(rest.as_mut_ptr().cast(), _mm_castps_pd(high));
            _mm_store_ss(&mut rest[2], _mm_movehl_ps(high, high));
        }
    }
}

/// `Aᵀ m A + bias` of a block's tiles, written to one map of every image.
///
/// # Safety
/// [`available`], and no one else has these lines of the maps of this channel.
#[target_feature(enable = "avx")]
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
    let bias = _mm_set1_ps(bias);
    for (image, first, count, at) in plan.segments(rows) {
        let map = (image * plan.to.channels + channel) * height * width;
        for row in 0..count {
            for tile in fours(across) {
                let lines = corners(&m, at + row * across + tile, bias);
                let (x, y) = (2 * tile, 2 * (first + row));
                for (y, entries) in (y..height).zip(lines) {
                    // SAFETY: a line of this channel below the rows of this block,
                    // which the caller gave us.
                    let line = unsafe { out.part(map + y * width + x, (width - x).min(8)) };
                    write(line, entries);
                }
            }
        }
    }
}
