//! Products of many rows with a right matrix that lies in columns, as a layer's has: its
//! weight is `[out, in]`.
//!
//! The crate copies such a matrix number by number, a row's length apart, and every part
//! of a product that threads share copies its share anew. Here a panel of columns is
//! turned in registers, laid down once, and met by strips of rows that are short enough
//! for the crate to read the panel where it lies.

use super::{Base, Matrix, PARALLEL_FROM, PARTS, packed};
use crate::{
    Elem,
    buffer::Buffer,
    kernel::{disjoint::Disjoint, parallel, square},
};
use std::any::TypeId;

/// Columns of a panel: a multiple of a tile of the kernel.
const COLUMNS: usize = 64;
/// Most columns of a part: its panels stay in the cache of a core.
const MOST: usize = 4 * COLUMNS;
/// Rows of a strip: the crate copies the panel for more than eight tiles of six.
const STRIP: usize = 48;
/// Fewest rows of a part, which has to lay its panel down itself.
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
        let to = Disjoint::new(panel);
        let from = (b.skip_columns(i * COLUMNS).data, b.column_step);
        // SAFETY: nobody else has it.
        unsafe { square::transpose((k, width), from, (&to, 0, width), false) };
    }
}

/// `out = a b`, or `out += a b` if `add`, rows of `out` are `step` apart.
pub(super) fn product<E: Elem>(
    (m, k, n): (usize, usize, usize),
    a: Matrix<'_, E>,
    right: Right<'_, E>,
    (out, step): (&mut [E], usize),
    add: bool,
    spread: bool,
) {
    let work = if spread { m * k * n } else { 0 };
    let parts = if work >= PARALLEL_FROM { PARTS } else { 1 };
    // Twice as many where columns allow, since the last one may be narrow.
    let columns = n.div_ceil(2 * parts).next_multiple_of(COLUMNS).min(MOST);
    let across = n.div_ceil(columns);
    let rows = m.div_ceil(parts.div_ceil(across)).max(ROWS).next_multiple_of(STRIP);
    let out = Base(out.as_mut_ptr());
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
            for column in (left..end).step_by(COLUMNS) {
                let size = (STRIP.min(bottom - row), k, COLUMNS.min(end - column));
                let panel = Matrix::new(&panels[k * (column - left)..], size.2);
                // SAFETY: the caller has shown that `a` and `out` have these rows and
                // columns; `out` is borrowed uniquely, and no two parts share an element.
                unsafe {
                    let into = out.at(row * step + column);
                    packed(size, a.skip_rows(row), panel, (into, [step, 1]), add);
                }
            }
        }
    });
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
}
