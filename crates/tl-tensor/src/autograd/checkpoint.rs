//! Memory for time: a segment that is computed again in the backward pass.

use super::{
    grad::{GradOptions, vjp},
    node::Op,
    vjp::Vjp,
};
use crate::{Elem, Result, Tensor, Value};
use std::sync::Arc;

type Segment<E> = Arc<dyn Fn(&[Tensor<E>]) -> Result<Tensor<E>> + Send + Sync>;

struct Checkpoint<E: Elem> {
    inputs: Vec<Value<E>>,
    segment: Segment<E>,
}

impl<E: Elem> Op<E> for Checkpoint<E> {
    fn name(&self) -> &'static str {
        "checkpoint"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        let saved: Vec<&Value<E>> = self.inputs.iter().collect();
        if cx.create_graph() {
            return cx.composite(&saved, &g, |t| (self.segment)(t));
        }
        let wanted: Vec<usize> = (0..saved.len()).filter(|&i| cx.needs(i)).collect();
        let inputs: Vec<Tensor<E>> = saved
            .iter()
            .enumerate()
            .map(|(i, v)| {
                let x = Tensor::constant((*v).clone());
                if cx.needs(i) { x.requires_grad() } else { x }
            })
            .collect();
        let y = (self.segment)(&inputs)?;
        let wrt: Vec<&Tensor<E>> = wanted.iter().map(|&i| &inputs[i]).collect();
        let options = GradOptions { create_graph: false, allow_unused: true };
        for (i, gradient) in wanted.iter().zip(vjp(&y, &wrt, &g, options)?) {
            cx.give(*i, || Ok(gradient))?;
        }
        Ok(())
    }
}

/// `segment(inputs)`, whose intermediate results are not kept: the backward
/// pass computes the segment again. Memory for the activations of one segment
/// instead of all, for one more forward pass. Chen et al. 2016.
///
/// Everything that needs a gradient, parameters too, must be among `inputs`; a
/// tracked tensor that the segment captures gets none through this path.
/// Randomness inside of the segment must be repeatable: seed it from a number,
/// do not share a generator.
///
/// # Errors
/// Those of the segment.
///
/// ```
/// use tl_tensor::{Tensor, checkpoint};
/// # fn main() -> tl_tensor::Result<()> {
/// let x = Tensor::linspace(0.0_f32, 1.0, 5).requires_grad();
/// let y = checkpoint(&[&x], |t| Ok(t[0].exp().sin().square()))?;
/// let again = x.exp().sin().square();
/// let (a, b) = (y.sum_all().backward()?, again.sum_all().backward()?);
/// assert_eq!(a.get(&x).unwrap().to_vec(), b.get(&x).unwrap().to_vec());
/// # Ok(())
/// # }
/// ```
pub fn checkpoint<E: Elem>(
    inputs: &[&Tensor<E>],
    segment: impl Fn(&[Tensor<E>]) -> Result<Tensor<E>> + Send + Sync + 'static,
) -> Result<Tensor<E>> {
    let plain: Vec<Tensor<E>> = inputs.iter().map(|t| t.detach()).collect();
    let value = segment(&plain)?.detach().into_value();
    Ok(Tensor::from_op(value, inputs, || Checkpoint {
        inputs: plain.into_iter().map(Tensor::into_value).collect(),
        segment: Arc::new(segment),
    }))
}

#[cfg(test)]
mod tests {
    use crate::{GradCheck, Tensor, checkpoint, gradcheck, gradgradcheck};

    #[test]
    fn derivatives_of_both_orders() {
        let f =
            |t: &[Tensor<f64>]| checkpoint(&[&t[0], &t[1]], |s| s[0].mul(&s[1])?.tanh().mul(&s[0]));
        let x = [Tensor::linspace(-1.0, 1.0, 4), Tensor::linspace(0.5, 2.0, 4)];
        gradcheck(f, &x, GradCheck::default()).unwrap();
        gradgradcheck(f, &x, GradCheck::default()).unwrap();
    }
}
