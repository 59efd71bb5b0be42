//! LU factors with partial pivoting: a kernel, not an operation.

use crate::Elem;

/// `P A = L U` of one matrix.
pub(super) struct Lu<E> {
    /// `L` below the diagonal, whose own is 1, and `U` from it on.
    pub(super) factors: Vec<E>,
    /// The row of `A` that is row `i` of `P A`.
    pub(super) rows: Vec<usize>,
    /// Whether an even number of rows changed places.
    pub(super) even: bool,
    /// The first row without a pivot.
    pub(super) singular: Option<usize>,
}

pub(super) fn factor<E: Elem>(a: &[E], n: usize) -> Lu<E> {
    let mut lu = Lu { factors: a.to_vec(), rows: (0..n).collect(), even: true, singular: None };
    let m = &mut lu.factors;
    for i in 0..n {
        let best = (i..n)
            .fold(i, |best, r| if m[r * n + i].abs() > m[best * n + i].abs() { r } else { best });
        if best != i {
            for c in 0..n {
                m.swap(i * n + c, best * n + c);
            }
            lu.rows.swap(i, best);
            lu.even = !lu.even;
        }
        let pivot = m[i * n + i];
        if pivot == E::ZERO || !pivot.is_finite() {
            lu.singular = lu.singular.or(Some(i));
            continue;
        }
        for r in i + 1..n {
            let ratio = m[r * n + i] / pivot;
            m[r * n + i] = ratio;
            for c in i + 1..n {
                let term = ratio * m[i * n + c];
                m[r * n + c] = m[r * n + c] - term;
            }
        }
    }
    lu
}
