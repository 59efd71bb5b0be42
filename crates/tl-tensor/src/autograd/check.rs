//! Gradients against finite differences.

use super::grad::{GradOptions, vjp};
use crate::{Error, Result, Tensor};

/// Tolerances of [`gradcheck`] and [`gradgradcheck`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradCheck {
    /// The step of the central difference. Default 1e-6.
    pub step: f64,
    /// Largest absolute difference. Default 1e-6.
    pub absolute: f64,
    /// Largest difference relative to the numerical value. Default 1e-5.
    pub relative: f64,
}

impl Default for GradCheck {
    fn default() -> Self {
        Self { step: 1e-6, absolute: 1e-6, relative: 1e-5 }
    }
}

/// Fixed, irregular weights that make one number of the output, so that every
/// element counts and none cancels.
fn weights(shape: &crate::Shape, phase: f64) -> Result<Tensor<f64>> {
    let numbers = (0..shape.numel()).map(|i| 0.5 + (1.7 * i as f64 + phase).sin()).collect();
    Tensor::from_vec(numbers, shape)
}

/// Compares the gradients of `f` at `inputs` with central differences.
///
/// # Errors
/// [`Error::Rule`] naming the input and element that differ; those of `f`.
pub fn gradcheck(
    f: impl Fn(&[Tensor<f64>]) -> Result<Tensor<f64>>,
    inputs: &[Tensor<f64>],
    check: GradCheck,
) -> Result<()> {
    let leaves: Vec<Tensor<f64>> = inputs.iter().map(Tensor::requires_grad).collect();
    let y = f(&leaves)?;
    if !y.is_tracked() {
        return Err(Error::Untracked { op: "gradcheck" });
    }
    let w = weights(y.shape(), 0.3)?;
    let wrt: Vec<&Tensor<f64>> = leaves.iter().collect();
    let options = GradOptions { create_graph: false, allow_unused: true };
    let analytic = vjp(&y, &wrt, &w, options)?;
    let value = |inputs: &[Tensor<f64>]| -> Result<f64> { f(inputs)?.mul(&w)?.sum_all().item() };
    for (i, x) in inputs.iter().enumerate() {
        let base = x.to_vec();
        let got = analytic[i].to_vec();
        for j in 0..base.len() {
            let shifted = |by: f64| -> Result<f64> {
                let mut numbers = base.clone();
                numbers[j] += by;
                let mut moved = inputs.to_vec();
                moved[i] = relaid(&Tensor::from_vec(numbers, x.shape())?, x)?;
                value(&moved)
            };
            let numeric = (shifted(check.step)? - shifted(-check.step)?) / (2.0 * check.step);
            let limit = check.absolute + check.relative * numeric.abs();
            let difference = (got[j] - numeric).abs();
            if difference.is_nan() || difference > limit {
                return Err(Error::Rule {
                    op: "gradcheck",
                    problem: format!(
                        "gives {} for element {j} of input {i}, finite differences {numeric}",
                        got[j]
                    ),
                });
            }
        }
    }
    Ok(())
}

/// The same numbers in the memory order of `like`, so that a check of strided
/// inputs stays one.
fn relaid(x: &Tensor<f64>, like: &Tensor<f64>) -> Result<Tensor<f64>> {
    if like.is_contiguous() || like.rank() < 2 {
        return Ok(x.clone());
    }
    Ok(x.transpose(0, -1)?.contiguous().transpose(0, -1)?.detach())
}

/// Compares the gradients of the gradients of `f` with central differences of
/// the gradients, for the inputs and the vector that is pulled back.
///
/// # Errors
/// As [`gradcheck`].
pub fn gradgradcheck(
    f: impl Fn(&[Tensor<f64>]) -> Result<Tensor<f64>>,
    inputs: &[Tensor<f64>],
    check: GradCheck,
) -> Result<()> {
    let y = f(inputs)?;
    let mut all = inputs.to_vec();
    all.push(weights(y.shape(), 1.1)?);
    let count = inputs.len();
    let options = GradOptions { create_graph: true, allow_unused: true };
    let first_order = |all: &[Tensor<f64>]| -> Result<Tensor<f64>> {
        // The numerical side hands in constants: make them variables.
        let xs: Vec<Tensor<f64>> = all[..count]
            .iter()
            .map(|x| if x.is_tracked() { x.clone() } else { x.requires_grad() })
            .collect();
        let y = f(&xs)?;
        let wrt: Vec<&Tensor<f64>> = xs.iter().collect();
        let mut parts = Vec::new();
        for (g, x) in vjp(&y, &wrt, &all[count], options)?.iter().zip(&xs) {
            parts.push(g.mul(&weights(x.shape(), 2.3)?)?.sum_all());
        }
        let mut total = all[count].mul_scalar(0.0).sum_all();
        for part in parts {
            total = total.add(&part)?;
        }
        Ok(total)
    };
    gradcheck(first_order, &all, check)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Elem, Op, Value, Vjp};

    /// `x²` with a wrong rule of first (`g x`) or of second order.
    struct Wrong<E: Elem> {
        x: Value<E>,
        order: usize,
    }

    impl<E: Elem> Op<E> for Wrong<E> {
        fn name(&self) -> &'static str {
            "wrong"
        }

        fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
            let x = cx.input(0, &self.x);
            let x = if self.order == 1 { x } else { x.detach().mul_scalar(E::from_f64(2.0)) };
            cx.give(0, || g.mul(&x))
        }
    }

    #[test]
    fn wrong_rules_are_found() {
        let x = [Tensor::linspace(1.0, 2.0, 3)];
        let wrong = |order: usize| {
            move |t: &[Tensor<f64>]| {
                let x = t[0].value().clone();
                Ok(Tensor::from_op(t[0].square().into_value(), &[&t[0]], || Wrong { x, order }))
            }
        };
        assert!(gradcheck(wrong(1), &x, GradCheck::default()).is_err());
        gradcheck(wrong(2), &x, GradCheck::default()).unwrap();
        assert!(gradgradcheck(wrong(2), &x, GradCheck::default()).is_err());
    }
}
