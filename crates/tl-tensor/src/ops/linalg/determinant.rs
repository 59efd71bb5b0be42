//! Determinants.

use super::{lu, square};
use crate::{Elem, Op, Result, Shape, Tensor, Value, Vjp};

struct LogAbsDet<E: Elem> {
    a: Value<E>,
}

impl<E: Elem> Op<E> for LogAbsDet<E> {
    fn name(&self) -> &'static str {
        "slogdet"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        let a = cx.input(0, &self.a);
        cx.give(0, || {
            let inverse = a.inverse()?.transpose(-2, -1)?;
            inverse.mul(&g.unsqueeze(-1)?.unsqueeze(-1)?)
        })
    }
}

impl<E: Elem> Tensor<E> {
    /// The sign of the determinant (1, -1, or 0 for singular matrices; a
    /// constant) and the logarithm of its absolute value, for matrices
    /// `[.., n, n]`.
    ///
    /// # Errors
    /// Matrices that are not square. Singular ones only when a gradient is
    /// asked for.
    pub fn slogdet(&self) -> Result<(Self, Self)> {
        let n = square("slogdet", self)?;
        let batch = Shape::new(&self.dims()[..self.rank() - 2])?;
        let matrices = self.value.contiguous();
        let mut signs = Vec::with_capacity(batch.numel());
        let logs = Value::build(batch, |out| {
            for (i, out) in out.iter_mut().enumerate() {
                let lu = lu::factor(&matrices.raw()[i * n * n..(i + 1) * n * n], n);
                let mut positive = lu.even;
                *out = E::ZERO;
                for d in 0..n {
                    let pivot = lu.factors[d * n + d];
                    positive ^= pivot < E::ZERO;
                    *out += pivot.abs().ln();
                }
                signs.push(match (lu.singular, positive) {
                    (Some(_), _) => E::ZERO,
                    (None, true) => E::ONE,
                    (None, false) => -E::ONE,
                });
            }
        });
        let log = Self::from_op(logs, &[self], || LogAbsDet { a: self.value.clone() });
        Ok((Self::from_vec(signs, batch)?, log))
    }

    /// The logarithm of the determinant of matrices `[.., n, n]`: -∞ where it
    /// is 0, NaN where it is negative.
    ///
    /// ```
    /// # use tl_tensor::Tensor;
    /// # fn main() -> tl_tensor::Result<()> {
    /// let a = Tensor::from_slice(&[2.0_f64, 1.0, 1.0, 2.0], [2, 2])?;
    /// assert!((a.logdet()?.item()? - 3.0_f64.ln()).abs() < 1e-12);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`slogdet`](Self::slogdet).
    pub fn logdet(&self) -> Result<Self> {
        let (sign, log) = self.slogdet()?;
        let nan = Self::scalar(E::from_f64(f64::NAN));
        Self::where_cond(&sign.lt_scalar(E::ZERO), &nan, &log)
    }
}
