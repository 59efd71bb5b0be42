//! Between `f32` and `f64`.

use crate::{Elem, Op, Result, Tensor, Value, Vjp};
use std::marker::PhantomData;

/// A change of element type from `F`.
struct Cast<F>(PhantomData<fn() -> F>);

impl<E: Elem, F: Elem> Op<E> for Cast<F> {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give_as::<F>(0, || Ok(g.cast()))
    }
}

impl<E: Elem> Tensor<E> {
    /// The same numbers in element type `F`, rounded to the nearest. Gradients
    /// pass, in their own type on either side.
    pub fn cast<F: Elem>(&self) -> Tensor<F> {
        let x = self.value.contiguous();
        let data = &x.raw()[..x.numel()];
        let value = Value::build(*x.shape(), |out| {
            for (o, x) in out.iter_mut().zip(data) {
                *o = F::from_f64(x.to_f64());
            }
        });
        let node = crate::autograd::record::<F, _>(std::iter::once(self.node.as_ref()), || {
            Cast::<E>(PhantomData)
        });
        Tensor { value, node }
    }
}

#[cfg(test)]
mod tests {
    use crate::{GradOptions, Tensor, grad};

    #[test]
    fn gradients_of_any_order_cross_the_types() {
        let x = Tensor::scalar(3.0_f32).requires_grad();
        let y = x.cast::<f64>().powf(3.0).cast::<f32>();
        let first = grad(&y, &[&x], GradOptions::new().create_graph(true)).unwrap().remove(0);
        assert_eq!(first.item().unwrap(), 27.0);
        let second = grad(&first, &[&x], GradOptions::new()).unwrap().remove(0);
        assert_eq!(second.item().unwrap(), 18.0);
    }
}
