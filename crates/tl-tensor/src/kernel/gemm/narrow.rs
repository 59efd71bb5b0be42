//! Products of rows with the few rows of a weight, `a wᵀ`: a head of few classes, a layer
//! of low rank.
//!
//! The crate fills its vectors with columns of the result, of which there are few here, and
//! copies the weight into another order. Here both sides are read along the terms, where
//! they lie, for a tile of results at a time.
#![allow(unsafe_code)]
// Loops by number, so that they are compiled for the instructions of the caller.
#![allow(clippy::needless_range_loop)]

use super::{Matrix, PARTS};
use crate::{
    Elem,
    kernel::{disjoint, parallel},
};
use pulp::{Arch, Simd, WithSimd};
use std::ops::RangeInclusive;

/// Columns of the result.
const COLUMNS: RangeInclusive<usize> = 2..=16;
/// Fewest rows and terms: adding up the lanes of a register has to pay.
const ROWS: usize = 4;
const TERMS: usize = 64;
/// Most numbers of the few columns: they are read once for every few rows, so have to stay
/// in the cache.
const COLUMNS_SIZE: usize = 1 << 17;
/// Rows of a part that threads take, a multiple of a tile's.
const PART: usize = 48;

/// Whether a product is faster this way. By the shape alone.
pub(super) fn better<E: Elem>(
    (m, k, n): (usize, usize, usize),
    a: Matrix<'_, E>,
    b: Matrix<'_, E>,
) -> bool {
    let in_columns = b.row_step == 1 && b.column_step >= k;
    in_columns
        && a.column_step == 1
        && m >= ROWS
        && k >= TERMS
        && COLUMNS.contains(&n)
        && n * k <= COLUMNS_SIZE
        && disjoint::cast::<E, f32>(a.data).is_some()
}

/// `out = a b`, or `out += a b` if `add`, rows of `out` are `step` apart; false, and nothing
/// done, of numbers other than `f32`.
pub(super) fn product<E: Elem>(
    (m, k, n): (usize, usize, usize),
    a: Matrix<'_, E>,
    b: Matrix<'_, E>,
    (out, step): (&mut [E], usize),
    (add, spread): (bool, bool),
) -> bool {
    let (Some(rows), Some(columns)) = (disjoint::cast(a.data), disjoint::cast(b.data)) else {
        return false;
    };
    let Some(out) = disjoint::cast_mut::<E, f32>(out) else { return false };
    let part = m.div_ceil(PARTS).next_multiple_of(PART);
    let out = &mut out[..(m - 1) * step + n];
    parallel::chunks(out, part * step, if spread { m * k * n } else { 0 }, |i, out| {
        let a = Lines { data: rows, step: a.row_step }.skip(i * part);
        let b = Lines { data: columns, step: b.column_step };
        Arch::new().dispatch(Part { a, b, size: (part.min(m - i * part), k, n), out, step, add });
    });
    true
}

/// Lines of numbers, so far apart.
#[derive(Clone, Copy)]
struct Lines<'a> {
    data: &'a [f32],
    step: usize,
}

impl<'a> Lines<'a> {
    fn skip(self, lines: usize) -> Self {
        Self { data: &self.data[lines * self.step..], ..self }
    }

    #[inline(always)]
    fn line(self, i: usize, length: usize) -> &'a [f32] {
        &self.data[i * self.step..][..length]
    }
}

/// The inner products of some lines with all of some others.
struct Part<'a> {
    a: Lines<'a>,
    b: Lines<'a>,
    /// Lines of `a`, terms, lines of `b`.
    size: (usize, usize, usize),
    out: &'a mut [f32],
    step: usize,
    add: bool,
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let m = self.size.0;
        // As many sums as registers hold beside a column and the numbers of the rows.
        let high = if S::REGISTER_COUNT >= 32 { 3 } else { 2 };
        let mut row = 0;
        while row + high <= m {
            if S::REGISTER_COUNT >= 32 {
                self.strip::<S, 3>(simd, row);
            } else {
                self.strip::<S, 2>(simd, row);
            }
            row += high;
        }
        while row < m {
            self.strip::<S, 1>(simd, row);
            row += 1;
        }
    }
}

impl Part<'_> {
    /// All columns of `R` rows.
    #[inline(always)]
    fn strip<S: Simd, const R: usize>(&mut self, simd: S, row: usize) {
        let n = self.size.2;
        let mut column = 0;
        if S::REGISTER_COUNT >= 32 {
            while column + 8 <= n {
                self.tile::<S, R, 8>(simd, row, column);
                column += 8;
            }
        }
        while column + 4 <= n {
            self.tile::<S, R, 4>(simd, row, column);
            column += 4;
        }
        while column < n {
            self.tile::<S, R, 1>(simd, row, column);
            column += 1;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const C: usize>(
        &mut self,
        simd: S,
        row: usize,
        column: usize,
    ) {
        let k = self.size.1;
        let zero = simd.splat_f32s(0.0);
        let mut x: [(&[S::f32s], &[f32]); R] = [(&[], &[]); R];
        let mut w: [(&[S::f32s], &[f32]); C] = [(&[], &[]); C];
        for r in 0..R {
            x[r] = S::as_simd_f32s(self.a.line(row + r, k));
        }
        for c in 0..C {
            w[c] = S::as_simd_f32s(self.b.line(column + c, k));
        }
        let mut sums = [[zero; C]; R];
        for t in 0..k / S::F32_LANES {
            let mut numbers = [zero; R];
            for r in 0..R {
                // SAFETY: every line has so many whole registers.
                numbers[r] = unsafe { *x[r].0.get_unchecked(t) };
            }
            for c in 0..C {
                // SAFETY: as above.
                let weight = unsafe { *w[c].0.get_unchecked(t) };
                for r in 0..R {
                    sums[r][c] = simd.mul_add_e_f32s(numbers[r], weight, sums[r][c]);
                }
            }
        }
        for r in 0..R {
            let out = &mut self.out[(row + r) * self.step + column..][..C];
            for c in 0..C {
                let mut sum = simd.reduce_sum_f32s(sums[r][c]);
                for t in 0..x[r].1.len() {
                    sum += x[r].1[t] * w[c].1[t];
                }
                out[c] = if self.add { out[c] + sum } else { sum };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    struct Check;

    impl WithSimd for Check {
        type Output = ();

        fn with_simd<S: Simd>(self, simd: S) {
            for (m, k, n) in [(1, 64, 2), (7, 83, 10), (50, 131, 16), (4, 200, 13)] {
                let (a_step, b_step, step) = (k + 3, k + 5, n + 2);
                let numbers = |count: usize, speed: f32| -> Vec<f32> {
                    (0..count).map(|i| (i as f32 * speed).sin()).collect()
                };
                let (a, b) = (numbers(m * a_step, 0.37), numbers(n * b_step, 0.73));
                for add in [false, true] {
                    let mut out = vec![1.0; m * step];
                    let a = Lines { data: &a, step: a_step };
                    let b = Lines { data: &b, step: b_step };
                    simd.vectorize(Part { a, b, size: (m, k, n), out: &mut out, step, add });
                    for (i, &got) in out.iter().enumerate() {
                        let (r, c) = (i / step, i % step);
                        let products = (0..k).map(|t| match c < n {
                            true => f64::from(a.line(r, k)[t]) * f64::from(b.line(c, k)[t]),
                            false => 0.0,
                        });
                        let before = if add || c >= n { 1.0 } else { 0.0 };
                        let want = products.sum::<f64>() + before;
                        assert!((f64::from(got) - want).abs() < 1e-4, "{m} {k} {n}: {got} {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_agrees_with_plain_sums() {
        crate::kernel::on_every_instruction_set(Check);
    }

    #[test]
    fn only_few_columns_along_the_terms_are_met_this_way() {
        let numbers = vec![0.0_f32; 1 << 14];
        let (rows, weight) = (Matrix::new(&numbers, 128), Matrix::new(&numbers, 128).t());
        assert!(better((100, 128, 8), rows, weight) && !better((100, 128, 64), rows, weight));
        assert!(!better((100, 32, 8), rows, weight) && !better((2, 128, 8), rows, weight));
        assert!(!better((100, 128, 8), rows, Matrix::new(&numbers, 8)));
        let doubles = vec![0.0_f64; 1 << 14];
        let (rows, weight) = (Matrix::new(&doubles, 128), Matrix::new(&doubles, 128).t());
        assert!(!better((100, 128, 8), rows, weight));
    }
}
