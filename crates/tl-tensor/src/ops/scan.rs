//! Running sums.

use crate::{Elem, Op, Result, Tensor, Value, Vjp};

struct Cumsum {
    axis: isize,
}

impl<E: Elem> Op<E> for Cumsum {
    fn name(&self) -> &'static str {
        "cumsum"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || g.flip(self.axis)?.cumsum(self.axis)?.flip(self.axis))
    }
}

impl<E: Elem> Tensor<E> {
    /// The running sum along `axis`: entry i is the sum of entries 0..=i.
    ///
    /// # Errors
    /// The axis is outside of the shape.
    pub fn cumsum(&self, axis: isize) -> Result<Self> {
        let at = self.shape().axis("cumsum", axis)?;
        let x = self.value.contiguous();
        let (size, inner) = (self.dims()[at], self.dims()[at + 1..].iter().product::<usize>());
        let value = Value::build(*self.shape(), |out| {
            out.copy_from_slice(&x.raw()[..x.numel()]);
            for block in out.chunks_exact_mut((size * inner).max(1)) {
                for i in inner..block.len() {
                    block[i] += block[i - inner];
                }
            }
        });
        Ok(Self::from_op(value, &[self], || Cumsum { axis: at as isize }))
    }
}
