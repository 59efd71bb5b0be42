//! Variance and standard deviation.

use super::reduce::Reduced;
use crate::{Axes, Elem, Result, Tensor};

impl<E: Elem> Tensor<E> {
    /// The variance `Σ(x - mean)² / (n - 1)` over `axes`, or `/ n` if not
    /// `unbiased`. In two passes: no cancellation. NaN where the divisor is 0.
    ///
    /// # Errors
    /// An axis is outside of the shape or named twice.
    pub fn var(&self, axes: impl Into<Axes>, unbiased: bool, keepdim: bool) -> Result<Self> {
        let axes = axes.into();
        let count = Reduced::new("var", self.shape(), &axes)?.count as f64;
        let divisor = if unbiased { (count - 1.0).max(0.0) } else { count };
        let centred = self.sub(&self.mean(axes.clone(), true)?)?;
        let sum = centred.square().sum(axes, keepdim)?;
        Ok(sum.mul_scalar(E::from_f64(1.0 / divisor)))
    }

    /// The standard deviation: the root of [`var`](Self::var). Its derivative
    /// is infinite where the variance is 0.
    ///
    /// # Errors
    /// An axis is outside of the shape or named twice.
    pub fn std(&self, axes: impl Into<Axes>, unbiased: bool, keepdim: bool) -> Result<Self> {
        Ok(self.var(axes, unbiased, keepdim)?.sqrt())
    }
}
