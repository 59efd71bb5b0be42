//! Cholesky factors.

use super::{Triangle, each_matrix, square};
use crate::{Elem, Error, Op, Result, Tensor, Value, Vjp};

struct Cholesky<E: Elem> {
    l: Value<E>,
}

impl<E: Elem> Op<E> for Cholesky<E> {
    fn name(&self) -> &'static str {
        "cholesky"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        // Murray 2016, eq. 10: Ā = L⁻ᵀ Φ(Lᵀ L̄) L⁻¹, made symmetric, where Φ
        // takes the lower triangle and half of the diagonal.
        let l = cx.output(&self.l);
        cx.give(0, || {
            let half = E::from_f64(0.5);
            let p = l.transpose(-2, -1)?.matmul(&g.tril(0)?)?;
            let phi = p.tril(0)?.add(&p.tril(-1)?)?.mul_scalar(half);
            let solve = |x: &Tensor<E>| l.triangular_solve(x, Triangle::lower().transposed());
            let s = solve(&solve(&phi)?.transpose(-2, -1)?)?;
            Ok(s.add(&s.transpose(-2, -1)?)?.mul_scalar(half))
        })
    }
}

/// The factor of one matrix in place; the row at which it fails.
fn factor<E: Elem>(a: &mut [E], n: usize) -> Option<usize> {
    for i in 0..n {
        for j in 0..=i {
            let mut sum = a[i * n + j];
            for k in 0..j {
                let term = a[i * n + k] * a[j * n + k];
                sum = sum - term;
            }
            if i == j {
                if sum <= E::ZERO || !sum.is_finite() {
                    return Some(i);
                }
                a[i * n + i] = sum.sqrt();
            } else {
                a[i * n + j] = sum / a[j * n + j];
            }
        }
        a[i * n + i + 1..(i + 1) * n].fill(E::ZERO);
    }
    None
}

impl<E: Elem> Tensor<E> {
    /// The lower triangular `L` with `L Lᵀ = A` for symmetric positive definite
    /// matrices `[.., n, n]`. Only the lower triangle is read; the gradient is
    /// symmetric.
    ///
    /// ```
    /// # use tl_tensor::Tensor;
    /// # fn main() -> tl_tensor::Result<()> {
    /// let a = Tensor::from_slice(&[4.0_f64, 2.0, 2.0, 10.0], [2, 2])?;
    /// assert_eq!(a.cholesky()?.to_vec(), [2.0, 0.0, 1.0, 3.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Matrices that are not square or not positive definite.
    pub fn cholesky(&self) -> Result<Self> {
        let n = square("cholesky", self)?;
        let l = each_matrix(&self.value, |_, a| match factor(a, n) {
            None => Ok(()),
            Some(row) => Err(Error::Singular {
                op: "cholesky",
                property: "positive definite",
                row,
                hint: "add a small number to the diagonal",
            }),
        })?;
        Ok(Self::from_op(l.clone(), &[self], || Cholesky { l }))
    }

    /// `X` with `L Lᵀ X = B` for a factor `L` from [`cholesky`](Self::cholesky)
    /// and `B` `[.., n, k]`.
    ///
    /// # Errors
    /// The shapes do not fit; a 0 on the diagonal.
    pub fn cholesky_solve(&self, b: &Self) -> Result<Self> {
        let y = self.triangular_solve(b, Triangle::lower())?;
        self.triangular_solve(&y, Triangle::lower().transposed())
    }
}
