//! A choice between two tensors, element by element.

use crate::{Elem, Op, Result, Shape, Tensor, Value, Vjp, kernel::map};

struct Where<E: Elem> {
    mask: Value<E>,
    shapes: [Shape; 2],
}

impl<E: Elem> Op<E> for Where<E> {
    fn name(&self) -> &'static str {
        "where_cond"
    }

    /// The other side gets an exact 0, also where the gradient is infinite.
    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        let mask = Tensor::constant(self.mask.clone());
        let zero = Tensor::scalar(E::ZERO);
        cx.give(0, || Tensor::where_cond(&mask, &g, &zero)?.sum_to(&self.shapes[0]))?;
        cx.give(1, || Tensor::where_cond(&mask, &zero, &g)?.sum_to(&self.shapes[1]))
    }
}

impl<E: Elem> Tensor<E> {
    /// `yes` where `mask` is not 0, else `no`. Broadcasts all three. No
    /// gradient flows to the mask.
    ///
    /// # Errors
    /// The shapes do not broadcast.
    pub fn where_cond(mask: &Self, yes: &Self, no: &Self) -> Result<Self> {
        let pick = |m: E, y: E, n: E| if m == E::ZERO { n } else { y };
        let value = map::ternary("where_cond", &mask.value, &yes.value, &no.value, pick)?;
        let shapes = [*yes.shape(), *no.shape()];
        Ok(Self::from_op(value, &[yes, no], || Where { mask: mask.value.clone(), shapes }))
    }

    /// `value` where `mask` is not 0, else the element. Broadcasts.
    ///
    /// # Errors
    /// The shapes do not broadcast.
    pub fn masked_fill(&self, mask: &Self, value: E) -> Result<Self> {
        Self::where_cond(mask, &Self::scalar(value), self)
    }
}
