//! The transforms of F(2x2, 3x3): of input tiles, of weights, of products back
//! to outputs, and the adjoints of the last two.
//!
//! Loops go over all tiles of a block for one channel, so that lanes are full
//! also where maps are small.
// One index into many slices at once.
#![allow(clippy::needless_range_loop)]

use super::{PLACES, Plan};
use crate::{
    Elem,
    buffer::Buffer,
    kernel::{
        disjoint::Disjoint,
        parallel::{self, simd},
    },
};
use std::ops::Range;

/// Writes the entries `2t + shift - padding` of a line, 0 where there is none.
#[inline(always)]
fn every_other<E: Elem>(out: &mut [E], line: &[E], shift: usize, padding: usize) {
    let skipped = padding.saturating_sub(shift).div_ceil(2).min(out.len());
    let (head, rest) = out.split_at_mut(skipped);
    head.fill(E::ZERO);
    let line = line.get((2 * skipped + shift).saturating_sub(padding)..).unwrap_or(&[]);
    let whole = rest.len().min(line.len().div_ceil(2));
    let (inside, tail) = rest.split_at_mut(whole);
    let (pairs, single) = line.as_chunks::<2>();
    for (out, pair) in inside.iter_mut().zip(pairs) {
        *out = pair[0];
    }
    if let (Some(out), Some(&last)) = (inside.get_mut(pairs.len()), single.first()) {
        *out = last;
    }
    tail.fill(E::ZERO);
}

/// `out = f(a, b)` for slices of one length.
#[inline(always)]
fn zip<E: Elem>(out: &mut [E], a: &[E], b: &[E], f: impl Fn(E, E) -> E) {
    for (out, (&a, &b)) in out.iter_mut().zip(a.iter().zip(b)) {
        *out = f(a, b);
    }
}

/// `Bᵀ d B` of a block's tiles in one map of every image.
pub(super) fn input_tiles<E: Elem>(
    plan: &Plan,
    x: &[E],
    channel: usize,
    rows: Range<usize>,
    mut places: [&mut [E]; PLACES],
) {
    let [height, width] = plan.from.size;
    let across = plan.tiles[1];
    let mut lines = Buffer::scratch(8 * (rows.len() + 1) * across);
    for (image, first, count, at) in plan.segments(rows) {
        let map = &x[(image * plan.from.channels + channel) * height * width..][..height * width];
        // Lines of even and of odd number, and in each the four places across a
        // tile. Three neighbours of both kinds hold the lines of a tile.
        let plane = (count + 1) * across;
        let (even, odd) = lines.as_mut_slice()[..8 * plane].split_at_mut(4 * plane);
        simd(
            #[inline(always)]
            || {
                for line in 0..2 * (count + 1) {
                    let y = (2 * first + line).wrapping_sub(plan.padding[0]);
                    let source = if y < height { &map[y * width..][..width] } else { &[] };
                    let half = if line % 2 == 0 { &mut *even } else { &mut *odd };
                    for j in 0..4 {
                        let out = &mut half[j * plane + line / 2 * across..][..across];
                        every_other(out, source, j, plan.padding[1]);
                    }
                }
                across_tiles(even, plane);
                across_tiles(odd, plane);
                let tiles = count * across;
                for j in 0..4 {
                    let (even, odd) = (&even[j * plane..][..plane], &odd[j * plane..][..plane]);
                    let (d0, d1) = (&even[..tiles], &odd[..tiles]);
                    let (d2, d3) = (&even[across..], &odd[across..]);
                    zip(&mut places[j][at..at + tiles], d0, d2, |a, b| a - b);
                    zip(&mut places[4 + j][at..at + tiles], d1, d2, |a, b| a + b);
                    zip(&mut places[8 + j][at..at + tiles], d2, d1, |a, b| a - b);
                    zip(&mut places[12 + j][at..at + tiles], d1, d3, |a, b| a - b);
                }
            },
        );
    }
}

/// `d B` in place; `lines` holds the four places across a tile, each `plane`
/// long.
#[inline(always)]
fn across_tiles<E: Elem>(lines: &mut [E], plane: usize) {
    let (a, rest) = lines.split_at_mut(plane);
    let (b, rest) = rest.split_at_mut(plane);
    let (c, d) = rest.split_at_mut(plane);
    for ((a, b), (c, d)) in a.iter_mut().zip(b).zip(c.iter_mut().zip(d)) {
        let (d0, d1, d2, d3) = (*a, *b, *c, *d);
        (*a, *b, *c, *d) = (d0 - d2, d1 + d2, d2 - d1, d1 - d3);
    }
}

/// `A g Aᵀ` of a block's tiles in one map of every image: the adjoint of
/// [`output_maps`].
pub(super) fn gradient_tiles<E: Elem>(
    plan: &Plan,
    grad: &[E],
    channel: usize,
    rows: Range<usize>,
    mut places: [&mut [E]; PLACES],
) {
    let [height, width] = plan.to.size;
    let across = plan.tiles[1];
    let mut lines = Buffer::scratch(4 * rows.len() * across);
    for (image, first, count, at) in plan.segments(rows) {
        let map = &grad[(image * plan.to.channels + channel) * height * width..][..height * width];
        let tiles = count * across;
        let lines = &mut lines.as_mut_slice()[..4 * tiles];
        simd(
            #[inline(always)]
            || {
                for line in 0..2 * count {
                    let y = 2 * first + line;
                    let source = if y < height { &map[y * width..][..width] } else { &[] };
                    for j in 0..2 {
                        let start = (line % 2 * 2 + j) * tiles + line / 2 * across;
                        every_other(&mut lines[start..][..across], source, j, 0);
                    }
                }
                for i in 0..4 {
                    let (top, bottom) = lines.split_at(2 * tiles);
                    let [left, right] = [0, tiles]
                        .map(|from| (&top[from..from + tiles], &bottom[from..from + tiles]));
                    // One of 1, 1 + 1, 1 - 1, -1 of the two lines, and the same
                    // of the two sides.
                    let row = &mut places[4 * i..4 * i + 4];
                    for q in 0..tiles {
                        let one = |(a, b): (&[E], &[E])| match i {
                            0 => a[q],
                            1 => a[q] + b[q],
                            2 => a[q] - b[q],
                            _ => -b[q],
                        };
                        let (l, r) = (one(left), one(right));
                        row[0][at + q] = l;
                        row[1][at + q] = l + r;
                        row[2][at + q] = l - r;
                        row[3][at + q] = -r;
                    }
                }
            },
        );
    }
}

/// `Aᵀ m A + bias` of a block's tiles, written to one map of every image.
///
/// # Safety
/// No one else has these lines of the maps of this channel.
#[allow(unsafe_code)]
pub(super) unsafe fn output_maps<E: Elem>(
    plan: &Plan,
    m: [&[E]; PLACES],
    channel: usize,
    rows: Range<usize>,
    bias: E,
    out: &Disjoint<'_, E>,
) {
    let [height, width] = plan.to.size;
    let (across, tiles) = (plan.tiles[1], m[0].len());
    let mut corners = Buffer::scratch(4 * tiles);
    let corners = corners.as_mut_slice();
    simd(
        #[inline(always)]
        || {
            let (top, bottom) = corners.split_at_mut(2 * tiles);
            let ((a, b), (c, d)) = (top.split_at_mut(tiles), bottom.split_at_mut(tiles));
            let m = m.map(|m| &m[..tiles]);
            for q in 0..tiles {
                let upper = |j: usize| m[j][q] + m[4 + j][q] + m[8 + j][q];
                let lower = |j: usize| m[4 + j][q] - m[8 + j][q] - m[12 + j][q];
                let (u0, u1, u2, u3) = (upper(0), upper(1), upper(2), upper(3));
                let (l0, l1, l2, l3) = (lower(0), lower(1), lower(2), lower(3));
                a[q] = u0 + u1 + u2 + bias;
                b[q] = u1 - u2 - u3 + bias;
                c[q] = l0 + l1 + l2 + bias;
                d[q] = l1 - l2 - l3 + bias;
            }
        },
    );
    for (image, first, count, at) in plan.segments(rows) {
        let map = (image * plan.to.channels + channel) * height * width;
        for line in 0..(2 * count).min(height - 2 * first) {
            // SAFETY: a line of this channel below the rows of this block, which
            // the caller gave us.
            let out = unsafe { out.part(map + (2 * first + line) * width, width) };
            let start = line % 2 * 2 * tiles + at + line / 2 * across;
            let (left, right) = (&corners[start..][..across], &corners[start + tiles..][..across]);
            simd(
                #[inline(always)]
                || {
                    let (pairs, single) = out.as_chunks_mut::<2>();
                    for (pair, (&left, &right)) in pairs.iter_mut().zip(left.iter().zip(right)) {
                        *pair = [left, right];
                    }
                    if let (Some(last), Some(&left)) = (single.first_mut(), left.last()) {
                        *last = left;
                    }
                },
            );
        }
    }
}

/// Kernels that are transformed at once.
const LANES: usize = 16;

/// `G g Gᵀ` of each of `count` kernels: `[place][kernel]`.
pub(super) fn weight_places<E: Elem>(weight: &[E], count: usize) -> Buffer<E> {
    let mut buffer = Buffer::scratch(PLACES * count);
    let all = Disjoint::new(buffer.as_mut_slice());
    let per_task = 1 << 10;
    parallel::collect(count.div_ceil(per_task), count * 32, |task| {
        let own = task * per_task..((task + 1) * per_task).min(count);
        let places: [&mut [E]; PLACES] = std::array::from_fn(|place| {
            // SAFETY: kernels of this task alone.
            #[allow(unsafe_code)]
            unsafe {
                all.part(place * count + own.start, own.len())
            }
        });
        simd(
            #[inline(always)]
            || transform_kernels(&weight[9 * own.start..9 * own.end], places),
        );
    });
    buffer
}

#[inline(always)]
fn transform_kernels<E: Elem>(weight: &[E], places: [&mut [E]; PLACES]) {
    let half = E::from_f64(0.5);
    let mut at = 0;
    for kernels in weight.chunks(9 * LANES) {
        let count = kernels.len() / 9;
        let mut g = [[E::ZERO; LANES]; 9];
        for (l, kernel) in kernels.chunks_exact(9).enumerate() {
            for (g, &x) in g.iter_mut().zip(kernel) {
                g[l] = x;
            }
        }
        // `G g`, then `(G g) Gᵀ`: rows 1, (1 + 1 + 1) / 2, (1 - 1 + 1) / 2, 1.
        let mut rows = [[E::ZERO; LANES]; 12];
        for j in 0..3 {
            for l in 0..LANES {
                let (a, b, c) = (g[j][l], g[3 + j][l], g[6 + j][l]);
                rows[j][l] = a;
                rows[3 + j][l] = (a + b + c) * half;
                rows[6 + j][l] = (a - b + c) * half;
                rows[9 + j][l] = c;
            }
        }
        for i in 0..4 {
            let mut line = [[E::ZERO; LANES]; 4];
            for l in 0..LANES {
                let (a, b, c) = (rows[3 * i][l], rows[3 * i + 1][l], rows[3 * i + 2][l]);
                line[0][l] = a;
                line[1][l] = (a + b + c) * half;
                line[2][l] = (a - b + c) * half;
                line[3][l] = c;
            }
            for (j, line) in line.iter().enumerate() {
                places[4 * i + j][at..at + count].copy_from_slice(&line[..count]);
            }
        }
        at += count;
    }
}

/// The place of the transform of a kernel that is turned by half a turn which
/// holds what `place` holds of the kernel itself.
pub(super) fn turned(place: usize) -> usize {
    let swap = |i: usize| match i {
        0 => 3,
        3 => 0,
        i => i,
    };
    4 * swap(place / 4) + swap(place % 4)
}

/// `Gᵀ u G` of each kernel: the adjoint of [`weight_places`].
pub(super) fn weight_back<E: Elem>(places: &[E], out: &mut [E]) {
    let count = out.len() / 9;
    let per_task = 1 << 10;
    parallel::chunks(out, 9 * per_task, count * 32, |task, out| {
        simd(
            #[inline(always)]
            || {
                for (i, out) in out.chunks_mut(9 * LANES).enumerate() {
                    kernels_back(places, count, task * per_task + i * LANES, out);
                }
            },
        );
    });
}

/// `Gᵀ u G` of the kernels from `first` on that `out` has room for, at most
/// [`LANES`].
#[inline(always)]
fn kernels_back<E: Elem>(places: &[E], count: usize, first: usize, out: &mut [E]) {
    let half = E::from_f64(0.5);
    let own = out.len() / 9;
    let mut rows = [[[E::ZERO; LANES]; 4]; 3];
    for j in 0..4 {
        let u: [[E; LANES]; 4] = std::array::from_fn(|i| {
            let mut u = [E::ZERO; LANES];
            u[..own].copy_from_slice(&places[(4 * i + j) * count + first..][..own]);
            u
        });
        for l in 0..LANES {
            let [a, b, c, d] = [u[0][l], u[1][l], u[2][l], u[3][l]];
            rows[0][j][l] = a + (b + c) * half;
            rows[1][j][l] = (b - c) * half;
            rows[2][j][l] = (b + c) * half + d;
        }
    }
    let mut kernels = [[E::ZERO; LANES]; 9];
    for (i, row) in rows.iter().enumerate() {
        for l in 0..LANES {
            let [a, b, c, d] = [row[0][l], row[1][l], row[2][l], row[3][l]];
            kernels[3 * i][l] = a + (b + c) * half;
            kernels[3 * i + 1][l] = (b - c) * half;
            kernels[3 * i + 2][l] = (b + c) * half + d;
        }
    }
    for (l, out) in out.chunks_exact_mut(9).enumerate() {
        for (out, place) in out.iter_mut().zip(&kernels) {
            *out = place[l];
        }
    }
}
