//! Systems with any regular matrix.

use super::{Triangle, each_matrix, lu, square, system, triangular::substitute};
use crate::{Elem, Error, Op, Result, Tensor, Value, Vjp};

struct Solve<E: Elem> {
    a: Value<E>,
    x: Value<E>,
}

impl<E: Elem> Op<E> for Solve<E> {
    fn name(&self) -> &'static str {
        "solve"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        // X = A⁻¹ B:  B̄ = A⁻ᵀ X̄,  Ā = -B̄ Xᵀ.
        let a = cx.input(0, &self.a);
        let x = cx.output(&self.x);
        let gb = a.transpose(-2, -1)?.solve(&g)?;
        cx.give(1, || Ok(gb.clone()))?;
        cx.give(0, || Ok(gb.matmul(&x.transpose(-2, -1)?)?.neg()))
    }
}

/// The error of a matrix without an inverse.
fn singular(op: &'static str, row: usize) -> Error {
    Error::Singular {
        op,
        property: "regular",
        row,
        hint: "remove rows that depend on others, or add a small number to the diagonal",
    }
}

impl<E: Elem> Tensor<E> {
    /// `X` with `A X = B` for regular matrices `A` `[.., n, n]` and right-hand
    /// sides `[.., n, k]`, by LU factors with partial pivoting. Batch axes
    /// broadcast.
    ///
    /// ```
    /// # use tl_tensor::Tensor;
    /// # fn main() -> tl_tensor::Result<()> {
    /// let a = Tensor::from_slice(&[0.0_f64, 2.0, 4.0, 1.0], [2, 2])?;
    /// let b = Tensor::from_slice(&[6.0, 7.0], [2, 1])?;
    /// assert_eq!(a.solve(&b)?.to_vec(), [1.0, 3.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The shapes do not fit; a matrix is singular.
    pub fn solve(&self, b: &Self) -> Result<Self> {
        let (a, b) = system("solve", self, b)?;
        let (n, k) = (a.size(-1)?, b.size(-1)?);
        let matrices = a.value.contiguous();
        let x = each_matrix(&b.value, |i, x| {
            let lu = lu::factor(&matrices.raw()[i * n * n..(i + 1) * n * n], n);
            if let Some(row) = lu.singular {
                return Err(singular("solve", row));
            }
            let given = x.to_vec();
            for (row, &from) in lu.rows.iter().enumerate() {
                x[row * k..(row + 1) * k].copy_from_slice(&given[from * k..(from + 1) * k]);
            }
            substitute(&lu.factors, x, n, k, Triangle::lower().unit_diagonal());
            substitute(&lu.factors, x, n, k, Triangle::upper());
            Ok(())
        })?;
        Ok(Self::from_op(x.clone(), &[&a, &b], || Solve { a: a.value.clone(), x }))
    }

    /// The inverse of regular matrices `[.., n, n]`. To multiply with it,
    /// [`solve`](Self::solve) is faster and more accurate.
    ///
    /// # Errors
    /// Matrices that are not square or are singular.
    pub fn inverse(&self) -> Result<Self> {
        self.solve(&Self::eye(square("inverse", self)?))
    }
}
