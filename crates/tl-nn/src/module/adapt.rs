//! What can stand between a parameter and the layer that uses it.

use super::traits::{Visit, VisitMut};
use crate::{Ctx, Result};
use std::any::Any;
use tl_tensor::{Activation, Conv, Tensor};

/// A change of a parameter `W` that is learned instead of `W` itself, such as a
/// low-rank one. It lives on the [`Param`](crate::Param), so that any model takes
/// it without a change of its layers.
///
/// A layer asks its parameters for [`adapted`](crate::Param::adapted) numbers;
/// [`Linear`](crate::Linear) and [`Conv2d`](crate::Conv2d) ask for their whole
/// output instead, so that a change of low rank costs no product of the size of
/// `W`, neither forward nor backward. Own layers that read
/// [`Param::tensor`](crate::Param::tensor) see the plain `W`; training then stops
/// with [`NoGradient`](crate::Error::NoGradient).
pub trait Adapt: std::fmt::Debug + Send + Sync {
    /// What counts in the place of `W`, of the same shape.
    ///
    /// # Errors
    /// The change is none of the numbers of `W`, or does not fit them.
    fn weight(&self, weight: &Tensor) -> Result<Tensor>;

    /// The output of an affine layer and a function after it, `[.., in]` to `[.., out]`; by
    /// default with [`weight`](Self::weight).
    ///
    /// # Errors
    /// A shape that does not fit.
    fn linear(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        act: Activation,
        cx: &mut Ctx,
    ) -> Result<Tensor> {
        let _ = cx;
        Ok(x.linear_act(&self.weight(weight)?, bias, act)?)
    }

    /// The output of a convolution of images; by default with
    /// [`weight`](Self::weight).
    ///
    /// # Errors
    /// A shape that does not fit.
    fn conv2d(
        &self,
        conv: &Conv,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        cx: &mut Ctx,
    ) -> Result<Tensor> {
        let _ = cx;
        Ok(conv.conv2d(x, &self.weight(weight)?, bias)?)
    }

    /// Shows the parameters of the change.
    fn visit<'a>(&'a self, v: &mut dyn Visit<'a>);

    /// Shows the parameters of the change for changing, in the same order.
    fn visit_mut(&mut self, v: &mut dyn VisitMut);

    /// A copy whose parameters are its own.
    fn boxed(&self) -> Box<dyn Adapt>;

    /// For those who know what it is.
    fn as_any(&self) -> &dyn Any;

    /// For those who know what it is and change it.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}
