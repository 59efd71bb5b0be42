//! Matrix products, through the `gemm` crate.
#![allow(unsafe_code)]

mod narrow;
mod panels;
mod turned;

use super::{disjoint::Disjoint, parallel};
use crate::{Elem, Value, buffer::Prepared};

/// A matrix somewhere in a slice: element (r, c) is at `r * rows + c * columns`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, E> {
    pub(crate) data: &'a [E],
    pub(crate) row_step: usize,
    pub(crate) column_step: usize,
}

impl<'a, E> Matrix<'a, E> {
    /// A row-major matrix of this width.
    pub(crate) fn new(data: &'a [E], width: usize) -> Self {
        Self { data, row_step: width, column_step: 1 }
    }

    /// The transposed matrix.
    pub(crate) fn t(self) -> Self {
        Self { data: self.data, row_step: self.column_step, column_step: self.row_step }
    }

    /// The matrix without its first rows.
    fn skip_rows(self, row: usize) -> Self {
        Self { data: &self.data[row * self.row_step..], ..self }
    }

    /// The matrix without its first columns.
    pub(crate) fn skip_columns(self, column: usize) -> Self {
        Self { data: &self.data[column * self.column_step..], ..self }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0
            || columns == 0
            || (rows - 1) * self.row_step + (columns - 1) * self.column_step < self.data.len()
    }
}

/// Two matrices whose product is added, and the terms of that.
pub(crate) type More<'a, E> = (Matrix<'a, E>, Matrix<'a, E>, usize);

/// What is done with a row of a product that is ready, or a part of it, and the column that
/// it begins at.
pub(crate) type Finish<'a, E> = dyn Fn(&mut [E], usize) + Sync + 'a;

/// Multiply-adds from which on a product is spread over threads.
const PARALLEL_FROM: usize = 1 << 19;
/// Most parts that a product is spread over threads in, and fewest rows or columns of
/// one: narrower ones would pack more than they multiply.
const PARTS: usize = 8;
const NARROWEST: usize = 32;
/// Rows and columns of a tile of the kernel, with AVX-512 and without.
const ROWS: usize = 6;
const COLUMNS: [usize; 2] = [64, 16];
/// Multiply-adds up to which a plain loop beats the packing of a large product.
const SMALL: usize = 1 << 9;

/// `out = a b`, or `out += a b` if `add`; `a` is m×k, `b` k×n, `out` row-major m×n.
///
/// `spread` allows more than one thread.
///
/// # Panics
/// A slice is too short for its matrix; callers compute the shapes.
pub(crate) fn gemm<E: Elem>(
    (m, k, n): (usize, usize, usize),
    a: Matrix<'_, E>,
    b: Matrix<'_, E>,
    out: &mut [E],
    add: bool,
    spread: bool,
) {
    gemm_rows((m, k, n), a, b, (out, n), add, spread);
}

/// `out = a wᵀ` for the weight `w` `[n, k]` of a layer, and `more` added. `finish` gets every
/// row, or a part of it and the column that it begins at, while it is still near. What is made of the
/// weight for the product is kept with it if `keep`, with the same bits. False, and nothing
/// done, where another way is faster.
///
/// # Panics
/// As [`gemm`].
pub(crate) fn gemm_layer<E: Elem>(
    (m, k, n): (usize, usize, usize),
    a: Matrix<'_, E>,
    (w, keep): (&Value<E>, bool),
    out: &mut [E],
    more: Option<More<'_, E>>,
    finish: Option<&Finish<'_, E>>,
) -> bool {
    assert!(w.is_contiguous() && w.shape()[..] == [n, k], "gemm: not a weight of this size");
    let b = Matrix::new(w.raw(), k).t();
    if turned::better((m, k, n), a, b) || !panels::better((m, k, n), b) {
        return false;
    }
    assert!(a.holds(m, k) && out.len() >= m * n, "gemm: operand too short");
    if let Some((left, right, r)) = more {
        assert!(left.holds(m, r) && right.holds(r, n), "gemm: operand too short");
    }
    let kept = keep.then(|| w.prepared(Prepared::Panels(k), |_| panels::lay((k, n), b)));
    let right = match &kept {
        Some(kept) => panels::Right::Panels(kept.as_slice()),
        None => panels::Right::Columns(b),
    };
    panels::product((m, k, n), a, right, (out, n), (false, true), more, finish);
    true
}

/// As [`gemm`], into a matrix whose rows are `out.1` apart.
pub(crate) fn gemm_rows<E: Elem>(
    (m, k, n): (usize, usize, usize),
    a: Matrix<'_, E>,
    b: Matrix<'_, E>,
    (out, step): (&mut [E], usize),
    add: bool,
    spread: bool,
) {
    let into = Matrix::new(&*out, step);
    assert!(a.holds(m, k) && b.holds(k, n) && into.holds(m, n), "gemm: operand too short");
    assert!(step >= n, "gemm: rows overlap");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if !add {
            out.chunks_mut(step).take(m).for_each(|row| row[..n].fill(E::ZERO));
        }
        return;
    }
    if m * k * n <= SMALL && step == n {
        small((m, k, n), a, b, out, add);
        return;
    }
    if narrow::better((m, k, n), a, b)
        && narrow::product((m, k, n), a, b, (&mut *out, step), (add, spread))
    {
        return;
    }
    if turned::better((m, k, n), a, b) {
        return turned::product((m, k, n), a, b, (out, step), add, spread);
    }
    if panels::better((m, k, n), b) {
        let b = panels::Right::Columns(b);
        return panels::product((m, k, n), a, b, (out, step), (add, spread), None, None);
    }
    let part = if spread && m * k * n >= PARALLEL_FROM { part((m, n)) } else { [m, n] };
    let [down, across] = [m.div_ceil(part[0]), n.div_ceil(part[1])];
    let out = Disjoint::new(out);
    parallel::collect(down * across, if spread { m * k * n } else { 0 }, |i| {
        let (r, c) = (i / across * part[0], i % across * part[1]);
        let (rows, columns) = (part[0].min(m - r), part[1].min(n - c));
        // SAFETY: the assertions above show that every element addressed by the
        // strides lies inside its slice; `out` is borrowed uniquely and so does not
        // overlap `a` and `b`, and no two parts share an element of it.
        unsafe {
            let (a, b) = (a.skip_rows(r), b.skip_columns(c));
            packed((rows, k, columns), a, b, (out.at(r * step + c), [step, 1]), add);
        }
    });
}

/// `out = a b`, or `out += a b`, by the crate: `out` has these row and column steps.
///
/// # Safety
/// `a` and `b` hold matrices of this size, `out` is one that nobody else reads or writes.
unsafe fn packed<E: Elem>(
    (m, k, n): (usize, usize, usize),
    a: Matrix<'_, E>,
    b: Matrix<'_, E>,
    (out, [row_step, column_step]): (*mut E, [usize; 2]),
    add: bool,
) {
    // SAFETY: as the caller promises; `E` is `f32` or `f64`, which `gemm` knows.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            column_step as isize,
            row_step as isize,
            add,
            a.data.as_ptr(),
            a.column_step as isize,
            a.row_step as isize,
            b.data.as_ptr(),
            b.column_step as isize,
            b.row_step as isize,
            E::ONE,
            E::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Rows and columns of the parts that a product is spread over threads in. Each packs
/// its own rows and columns, so of all ways to cut it into [`PARTS`] it is the one with
/// the largest parts on both sides; columns are the dearer ones, since they fill the
/// vectors. By the shape alone, so that bits do not depend on the number of threads.
fn part((m, n): (usize, usize)) -> [usize; 2] {
    #[cfg(target_arch = "x86_64")]
    let wide = is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    let wide = false;
    let tile = COLUMNS[usize::from(!wide)];
    let cut = |down: usize| {
        let (rows, columns) = (m.div_ceil(down), n.div_ceil(PARTS / down));
        [rows.max(NARROWEST).next_multiple_of(ROWS), columns.max(NARROWEST).next_multiple_of(tile)]
    };
    // What is packed for every multiply-add, and whether threads would wait.
    let cost = |[rows, columns]: [usize; 2]| {
        let few = m.div_ceil(rows) * n.div_ceil(columns) < PARTS / 2;
        (few, 2.0 / rows.min(m) as f64 + 1.0 / columns.min(n) as f64)
    };
    let better = |a: [usize; 2], b: [usize; 2]| if cost(b) < cost(a) { b } else { a };
    [2, 4, 8].map(cut).into_iter().fold(cut(1), better)
}

/// Products too small to be worth packing.
fn small<E: Elem>(
    size: (usize, usize, usize),
    a: Matrix<'_, E>,
    b: Matrix<'_, E>,
    out: &mut [E],
    add: bool,
) {
    let out = &mut out[..size.0 * size.2];
    if !add {
        out.fill(E::ZERO);
    }
    parallel::simd(
        #[inline(always)]
        || match size {
            (m, k, 1) if a.row_step == 1 => sum_of_columns(m, k, a, b, out),
            (_, k, 1) if a.column_step == 1 && b.row_step == 1 => dots(k, a, b, out),
            _ => rows(size, a, b, out),
        },
    );
}

/// A matrix that lies in columns by a vector.
#[inline(always)]
fn sum_of_columns<E: Elem>(m: usize, k: usize, a: Matrix<'_, E>, b: Matrix<'_, E>, out: &mut [E]) {
    for i in 0..k {
        let x = b.data[i * b.row_step];
        let column = &a.data[i * a.column_step..][..m];
        for (o, &y) in out.iter_mut().zip(column) {
            *o += x * y;
        }
    }
}

/// A matrix that lies in rows by a vector without gaps.
#[inline(always)]
fn dots<E: Elem>(k: usize, a: Matrix<'_, E>, b: Matrix<'_, E>, out: &mut [E]) {
    const LANES: usize = 8;
    let b = &b.data[..k];
    for (r, o) in out.iter_mut().enumerate() {
        let row = &a.data[r * a.row_step..][..k];
        let mut lanes = [E::ZERO; LANES];
        let (head, tail) = row.as_chunks::<LANES>();
        let (head_b, tail_b) = b.as_chunks::<LANES>();
        for (x, y) in head.iter().zip(head_b) {
            for l in 0..LANES {
                lanes[l] += x[l] * y[l];
            }
        }
        let mut sum = E::ZERO;
        for lane in lanes {
            sum += lane;
        }
        for (&x, &y) in tail.iter().zip(tail_b) {
            sum += x * y;
        }
        *o += sum;
    }
}

/// Row by row of the result.
#[inline(always)]
fn rows<E: Elem>(
    (m, k, n): (usize, usize, usize),
    a: Matrix<'_, E>,
    b: Matrix<'_, E>,
    out: &mut [E],
) {
    for r in 0..m {
        let row = &mut out[r * n..(r + 1) * n];
        for i in 0..k {
            let x = a.data[r * a.row_step + i * a.column_step];
            let from = i * b.row_step;
            if b.column_step == 1 {
                for (o, &y) in row.iter_mut().zip(&b.data[from..from + n]) {
                    *o += x * y;
                }
            } else {
                for (c, o) in row.iter_mut().enumerate() {
                    *o += x * b.data[from + c * b.column_step];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_definition_for_all_layouts() {
        agree(|x| x, 1e-12);
        agree(|x| x as f32, 1e-4);
    }

    fn agree<E: Elem>(of: impl Fn(f64) -> E, epsilon: f64) {
        for (m, k, n) in [
            (1, 1, 1),
            (3, 4, 5),
            (10, 40, 1),
            (40, 10, 1),
            (9, 1, 30),
            (17, 9, 33),
            (40, 70, 20),
            (130, 60, 90),
            // Shared out in parts of rows, and of columns.
            (410, 50, 41),
            // Few columns.
            (410, 70, 11),
            (41, 50, 410),
            // Turned where the right one lies in columns.
            (33, 130, 150),
            // Laid in panels, and several parts of them.
            (70, 130, 150),
            (310, 200, 330),
            (24, 300, 500),
        ] {
            let a: Vec<E> = (0..m * k).map(|i| of((i as f64 * 0.37).sin())).collect();
            let b: Vec<E> = (0..k * n).map(|i| of((i as f64 * 0.73).cos())).collect();
            let at: Vec<E> = (0..k * m).map(|i| a[(i % m) * k + i / m]).collect();
            let bt: Vec<E> = (0..n * k).map(|i| b[(i % k) * n + i / k]).collect();
            for (a, b) in [
                (Matrix::new(&a, k), Matrix::new(&b, n)),
                (Matrix::new(&at, m).t(), Matrix::new(&b, n)),
                (Matrix::new(&a, k), Matrix::new(&bt, k).t()),
                (Matrix::new(&at, m).t(), Matrix::new(&bt, k).t()),
            ] {
                let mut out = vec![E::ONE; m * n];
                gemm((m, k, n), a, b, &mut out, true, true);
                for r in 0..m {
                    for c in 0..n {
                        let want: f64 = (0..k)
                            .map(|i| {
                                a.data[r * a.row_step + i * a.column_step].to_f64()
                                    * b.data[i * b.row_step + c * b.column_step].to_f64()
                            })
                            .sum();
                        approx::assert_abs_diff_eq!(
                            out[r * n + c].to_f64(),
                            1.0 + want,
                            epsilon = epsilon
                        );
                    }
                }
            }
        }
    }
}
