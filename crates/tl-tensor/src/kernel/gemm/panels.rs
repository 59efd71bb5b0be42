//! Products of many rows with a right matrix that lies in columns, as a layer's has: its
//! weight is `[out, in]`.
//!
//! The crate copies such a matrix number by number, a row's length apart, and every part
//! of a product that threads share copies its share anew. Here a panel of columns is
//! turned in registers, laid down once, and met by strips of rows that are short enough
//! for the crate to read the panel where it lies.

use super::{Finish, Matrix, More, PARALLEL_FROM, PARTS, packed};
use crate::{
    Elem,
    buffer::Buffer,
    kernel::{disjoint::Disjoint, parallel, square},
};
use std::any::TypeId;

/// Columns of a panel: a multiple of a tile of the kernel.
const COLUMNS: usize = 64;
/// Most numbers in the panels of a part: they stay in the cache of a core.
const MOST: usize = 1 << 18;
/// What laying a number down costs, in numbers read.
const LAYING: f64 = 4.0;
/// Rows of a strip: the crate copies the panel for more than eight tiles of six.
const STRIP: usize = 48;
/// Fewest rows of a part of several.
const ROWS: usize = 2 * STRIP;
/// Fewest numbers of the right matrix.
const NUMBERS: usize = 1 << 12;

/// Whether a product is faster this way. By the shape alone.
pub(super) fn better<E: Elem>((m, k, n): (usize, usize, usize), b: Matrix<'_, E>) -> bool {
    // Squares of other numbers are not turned in registers.
    let fast = TypeId::of::<E>() == TypeId::of::<f32>();
    let in_columns = b.row_step == 1 && b.column_step > 1;
    fast && in_columns && m >= STRIP && n >= COLUMNS && k * n >= NUMBERS
}

/// The right matrix, k×n.
#[derive(Clone, Copy)]
pub(super) enum Right<'a, E> {
    /// In columns.
    Columns(Matrix<'a, E>),
    /// As [`lay`] has left it.
    Panels(&'a [E]),
}

/// All panels of a matrix in columns, one after the other.
pub(super) fn lay<E: Elem>((k, n): (usize, usize), b: Matrix<'_, E>) -> Buffer<E> {
    let mut all = Buffer::scratch(k * n);
    parallel::chunks(all.as_mut_slice(), k * COLUMNS, k * n, |i, panel| {
        lay_part(k, b.skip_columns(i * COLUMNS), panel);
    });
    all
}

/// The panels of the first columns, as many as `out` has room for.
fn lay_part<E: Elem>(k: usize, b: Matrix<'_, E>, out: &mut [E]) {
    for (i, panel) in out.chunks_mut(k * COLUMNS).enumerate() {
        let width = panel.len() / k;
        let from = (b.skip_columns(i * COLUMNS).data, b.column_step);
        square::transpose_into((k, width), from, panel);
    }
}

/// `out = a b`, or `out += a b` if `add`, and `more` added; rows of `out` are `step` apart.
/// `finish` gets every row of a part when it is done, and the column that it begins at.
pub(super) fn product<E: Elem>(
    (m, k, n): (usize, usize, usize),
    a: Matrix<'_, E>,
    right: Right<'_, E>,
    (out, step): (&mut [E], usize),
    (add, spread): (bool, bool),
    more: Option<More<'_, E>>,
    finish: Option<&Finish<'_, E>>,
) {
    let work = if spread { m * k * n } else { 0 };
    let whole = [m.next_multiple_of(STRIP), n.next_multiple_of(COLUMNS)];
    let [rows, columns] = if work >= PARALLEL_FROM { part((m, k, n), right) } else { whole };
    let across = n.div_ceil(columns);
    let out = Disjoint::new(out);
    parallel::collect(m.div_ceil(rows) * across, work, |i| {
        let (top, left) = (i / across * rows, i % across * columns);
        let (bottom, end) = (m.min(top + rows), n.min(left + columns));
        let mut own = None;
        let panels = match right {
            Right::Panels(all) => &all[k * left..k * end],
            Right::Columns(b) => {
                let own = own.insert(Buffer::scratch(k * (end - left)));
                lay_part(k, b.skip_columns(left), own.as_mut_slice());
                own.as_slice()
            }
        };
        for row in (top..bottom).step_by(STRIP) {
            let height = STRIP.min(bottom - row);
            for column in (left..end).step_by(COLUMNS) {
                let size = (height, k, COLUMNS.min(end - column));
                let panel = Matrix::new(&panels[k * (column - left)..], size.2);
                // SAFETY: the caller has shown that `a`, `more` and `out` have these rows
                // and columns, and no two parts share an element of `out`.
                unsafe {
                    let into = (out.at(row * step + column), [step, 1]);
                    packed(size, a.skip_rows(row), panel, into, add);
                    if let Some((left, right, r)) = more {
                        let (left, right) = (left.skip_rows(row), right.skip_columns(column));
                        packed((height, r, size.2), left, right, into, true);
                    }
                }
            }
            if let Some(finish) = finish {
                for row in row..row + height {
                    // SAFETY: as above.
                    finish(unsafe { out.part(row * step + left, end - left) }, left);
                }
            }
        }
    });
}

/// Rows and columns of the parts that threads take: of all ways to cut a product into
/// so many the one that reads the least, where panels that are not laid yet cost more.
fn part<E>((m, k, n): (usize, usize, usize), right: Right<'_, E>) -> [usize; 2] {
    let (parts, dearer) = match right {
        Right::Panels(_) => (2 * PARTS, 1.0),
        Right::Columns(_) => (PARTS, LAYING),
    };
    let cut = |down: usize| {
        let (rows, columns) = (m.div_ceil(down), n.div_ceil(parts / down));
        let columns = columns.min(MOST / k).max(1).next_multiple_of(COLUMNS);
        [rows.next_multiple_of(super::ROWS), columns]
    };
    let cost = |[rows, columns]: [usize; 2]| {
        let few = m.div_ceil(rows) * n.div_ceil(columns) < PARTS / 2;
        (few, dearer / rows.min(m) as f64 + 1.0 / columns.min(n) as f64)
    };
    let better = |a: [usize; 2], b: [usize; 2]| if cost(b) < cost(a) { b } else { a };
    let fits = |down: &usize| m >= down * ROWS;
    [2, 4, 8].into_iter().filter(fits).map(cut).fold(cut(1), better)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_matrices_in_columns_are_laid_anew() {
        let b = vec![0.0_f32; 1 << 14];
        let (columns, rows) = (Matrix::new(&b, 128).t(), Matrix::new(&b, 128));
        assert!(better((100, 128, 128), columns) && !better((4, 128, 128), columns));
        assert!(!better((100, 128, 128), rows) && !better((100, 128, 16), columns));
        let doubles = vec![0.0_f64; 1 << 14];
        assert!(!better((100, 128, 128), Matrix::new(&doubles, 128).t()));
    }

    #[test]
    fn panels_laid_before_give_the_same_bits_and_every_row_is_finished_once() {
        for (m, k, n) in [(50, 70, 100), (300, 130, 200), (97, 384, 64)] {
            let numbers = |count: usize, step: f32| -> Vec<f32> {
                (0..count).map(|i| (i as f32 * step).sin()).collect()
            };
            let (a, b) = (numbers(m * k, 0.37), numbers(n * k, 0.73));
            let (a, b) = (Matrix::new(&a, k), Matrix::new(&b, k).t());
            let all = lay((k, n), b);
            let mut outs = [vec![0.0; m * n], vec![0.0; m * n]];
            let finish = |part: &mut [f32], from: usize| {
                for (c, x) in part.iter_mut().enumerate() {
                    *x += 1000.0 + (from + c) as f32;
                }
            };
            let [kept, own] = &mut outs;
            let panels = Right::Panels(all.as_slice());
            product((m, k, n), a, panels, (kept, n), (false, true), None, Some(&finish));
            product((m, k, n), a, Right::Columns(b), (own, n), (false, false), None, None);
            for (i, (kept, own)) in kept.iter().zip(own).enumerate() {
                assert_eq!(*kept, *own + (1000.0 + (i % n) as f32), "{m} {k} {n}: {i}");
            }
        }
    }
}
