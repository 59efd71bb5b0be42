//! Arithmetic with a number.

use crate::{Elem, Op, Result, Tensor, Vjp, kernel::map};

/// `y = scale · x + shift`.
struct Affine<E> {
    scale: E,
}

impl<E: Elem> Op<E> for Affine<E> {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        let scale = self.scale;
        cx.give(0, || Ok(if scale == E::ONE { g } else { g.mul_scalar(scale) }))
    }
}

/// The same numbers under a node of their own.
struct Alias;

impl<E: Elem> Op<E> for Alias {
    fn name(&self) -> &'static str {
        "alias"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || Ok(g))
    }
}

/// Identity whose gradient is multiplied by a number.
struct ScaleGradient<E>(E);

impl<E: Elem> Op<E> for ScaleGradient<E> {
    fn name(&self) -> &'static str {
        "scale_gradient"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || Ok(g.mul_scalar(self.0)))
    }
}

impl<E: Elem> Tensor<E> {
    /// `x + shift`.
    pub fn add_scalar(&self, shift: E) -> Self {
        let y = map::unary(&self.value, move |x| x + shift);
        Self::from_op(y, &[self], || Affine { scale: E::ONE })
    }

    /// `scale · x`.
    pub fn mul_scalar(&self, scale: E) -> Self {
        let y = map::unary(&self.value, move |x| x * scale);
        Self::from_op(y, &[self], || Affine { scale })
    }

    /// `scale · x + shift`.
    pub fn affine(&self, scale: E, shift: E) -> Self {
        let y = map::unary(&self.value, move |x| scale * x + shift);
        Self::from_op(y, &[self], || Affine { scale })
    }

    /// The same numbers under a node of their own: a gradient asked for the
    /// alias stops there.
    pub fn alias(&self) -> Self {
        Self::from_op(self.value.clone(), &[self], || Alias)
    }

    /// The same numbers; gradients that pass are multiplied by `-lambda`.
    ///
    /// The gradient reversal layer of domain-adversarial training
    /// (Ganin and Lempitsky 2015, eq. 15–17).
    ///
    /// ```
    /// # use tl_tensor::Tensor;
    /// # fn main() -> tl_tensor::Result<()> {
    /// let x = Tensor::scalar(3.0_f32).requires_grad();
    /// let y = x.gradient_reversal(0.5).square().sum_all();
    /// assert_eq!(y.item()?, 9.0);
    /// assert_eq!(y.backward()?.get(&x).unwrap().item()?, -3.0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn gradient_reversal(&self, lambda: E) -> Self {
        Self::from_op(self.value.clone(), &[self], || ScaleGradient(-lambda))
    }
}
