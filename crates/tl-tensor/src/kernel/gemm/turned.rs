//! Products of few rows with a right matrix that lies in columns, as a layer's has: its
//! weight is `[out, in]`.
//!
//! The crate copies such a matrix into another order for every product, which few rows
//! do not pay for. Turned over, `outᵀ = bᵀ aᵀ`, it is read where it lies, and only the
//! small matrices `a` and `out` are turned.

use super::{Matrix, NARROWEST, PARALLEL_FROM, PARTS, packed};
use crate::{
    Elem,
    buffer::Buffer,
    kernel::{disjoint::Disjoint, parallel, square},
};
use std::{any::TypeId, ops::RangeInclusive};

/// Rows: a register holds several, and more of them pay for the copy.
const ROWS: RangeInclusive<usize> = 8..=64;
/// Fewest terms.
const TERMS: usize = 64;
/// A matrix of so many times the numbers of the small ones costs more to copy than they
/// to turn.
const LARGE: usize = 4;

/// Whether a product is faster this way. By the shape alone.
pub(super) fn better<E: Elem>(
    (m, k, n): (usize, usize, usize),
    a: Matrix<'_, E>,
    b: Matrix<'_, E>,
) -> bool {
    // Squares of others are not turned in registers.
    let fast = TypeId::of::<E>() == TypeId::of::<f32>();
    let in_columns = b.row_step == 1 && b.column_step > 1;
    fast && in_columns
        && a.column_step == 1
        && ROWS.contains(&m)
        && k >= TERMS
        && LARGE * m * (k + n) <= k * n
}

/// `out = a b`, or `out += a b` if `add`, rows of `out` are `step` apart.
pub(super) fn product<E: Elem>(
    (m, k, n): (usize, usize, usize),
    a: Matrix<'_, E>,
    b: Matrix<'_, E>,
    (out, step): (&mut [E], usize),
    add: bool,
    spread: bool,
) {
    let mut left = Buffer::scratch(k * m);
    square::transpose_into((k, m), (a.data, a.row_step), left.as_mut_slice());
    let left = Matrix::new(left.as_slice(), m).t();
    let work = if spread { m * k * n } else { 0 };
    let most = if work >= PARALLEL_FROM { n.div_ceil(PARTS).max(NARROWEST) } else { n };
    let out = Disjoint::new(out);
    parallel::collect(n.div_ceil(most), work, |i| {
        let from = i * most;
        let columns = most.min(n - from);
        let mut turned = Buffer::scratch(columns * m);
        let into = turned.as_mut_slice().as_mut_ptr();
        // SAFETY: `left` and `b` hold so many rows, terms and columns; `turned` is ours,
        // and no two parts have a column of `out` in common.
        unsafe {
            packed((m, k, columns), left, b.skip_columns(from), (into, [1, m]), false);
            square::transpose((m, columns), (turned.as_slice(), m), (&out, from, step), add);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_depends_on_how_many_rows_there_are_and_how_they_lie() {
        let (a, b) = (vec![0.0_f32; 4096], vec![0.0_f32; 1 << 18]);
        let turned = |m: usize, [k, n]: [usize; 2]| {
            better((m, k, n), Matrix::new(&a, k), Matrix::new(&b, k).t())
        };
        assert!(turned(8, [512, 512]) && turned(64, [512, 512]));
        assert!(!turned(1, [512, 512]) && !turned(65, [1200, 1200]) && !turned(32, [512, 10]));
        assert!(!better((32, 512, 512), Matrix::new(&a, 512), Matrix::new(&b, 512)));
    }
}
