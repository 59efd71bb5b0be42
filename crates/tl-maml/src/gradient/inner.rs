//! The inner loop, on tensors of any precision.

use super::precondition;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tl_nn::{GradOptions, Tensor, grad};
use tl_tensor::Elem;

/// What the outer gradient knows of the inner one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The inner gradient is a constant: first-order MAML (Finn et al. 2017,
    /// section 5.2). About a third of the cost with several steps.
    First,
    /// The outer gradient goes through the inner one: exact MAML.
    #[default]
    Second,
}

/// The gradients of an inner loss by the weights; with [`Order::Second`] they
/// have derivatives themselves. A weight that the loss does not depend on gets
/// zeros.
///
/// # Errors
/// The loss is not a single number; weights that are not tracked.
pub fn inner_gradients<E: Elem>(
    loss: &Tensor<E>,
    weights: &[Tensor<E>],
    order: Order,
) -> Result<Vec<Tensor<E>>> {
    if !weights.iter().all(Tensor::is_tracked) {
        let expected = "variables (`requires_grad`) or results of an earlier step";
        return Err(Error::argument("inner_gradients", "weights", "constant", expected));
    }
    let options = GradOptions::new().create_graph(order == Order::Second).allow_unused(true);
    Ok(grad(loss, &weights.iter().collect::<Vec<_>>(), options)?)
}

/// One step of gradient descent `θ' = θ - α ∘ g` that keeps its history, for
/// weights, gradients and rates; a rate is a single number or has the shape of
/// its weight (Li et al. 2017, eq. 3).
///
/// # Errors
/// Not one gradient and rate for each weight; shapes that do not fit.
pub fn descend<E: Elem>(
    weights: &[Tensor<E>],
    gradients: &[Tensor<E>],
    rates: &[Tensor<E>],
) -> Result<Vec<Tensor<E>>> {
    if weights.len() != gradients.len() || weights.len() != rates.len() {
        let got = (weights.len(), gradients.len(), rates.len());
        let expected = "as many gradients and rates as weights";
        return Err(Error::argument("descend", "lists", got, expected));
    }
    weights
        .iter()
        .zip(gradients)
        .zip(rates)
        .map(|((w, g), rate)| Ok(w.sub(&g.mul(rate)?)?))
        .collect()
}

/// The inner loop of MAML and its kin: `θ_{k+1} = θ_k - α_k ∘ M ∇L(θ_k)` for `k`
/// below [`steps`](Self::steps), with everything it depends on kept for the outer
/// gradient. [`Maml`](crate::Maml) runs this on any model; here it is by itself,
/// for a loop of one's own and in any precision.
///
/// ```
/// use tl_maml::{InnerLoop, Order};
/// use tl_nn::Tensor;
/// # fn main() -> tl_maml::Result<()> {
/// let rates = [vec![Tensor::<f64>::scalar(0.1)]];
/// let inner = InnerLoop { steps: 2, order: Order::Second, rates: &rates, curvature: &[] };
/// let theta = Tensor::scalar(3.0).requires_grad();
/// let adapted = inner.run(vec![theta.clone()], |_, w| Ok(w[0].square()))?;
/// // Each step multiplies by 1 - 2 · 0.1, and so does the derivative.
/// assert!((adapted[0].item()? - 3.0 * 0.64).abs() < 1e-12);
/// let outer = adapted[0].backward()?;
/// assert!((outer.get(&theta).unwrap().item()? - 0.64).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct InnerLoop<'a, E: Elem = f32> {
    /// Steps, `K`.
    pub steps: usize,
    /// What the outer gradient knows of the inner one.
    pub order: Order,
    /// The rates `[steps][weights]`, each a single number or of the shape of its
    /// weight; steps beyond the last row use that row.
    pub rates: &'a [Vec<Tensor<E>>],
    /// The matrices of [`precondition`] for each weight; none leave gradients as
    /// they are.
    pub curvature: &'a [Vec<Tensor<E>>],
}

impl<E: Elem> InnerLoop<'_, E> {
    /// The weights after the last step. `support_loss(k, θ_k)` is asked once for
    /// each step.
    ///
    /// # Errors
    /// Those of the loss; no rates; lists of other lengths than the weights.
    pub fn run(
        &self,
        mut weights: Vec<Tensor<E>>,
        mut support_loss: impl FnMut(usize, &[Tensor<E>]) -> Result<Tensor<E>>,
    ) -> Result<Vec<Tensor<E>>> {
        for step in 0..self.steps {
            let loss = support_loss(step, &weights)?;
            weights = self.step(step, &weights, &loss)?;
        }
        Ok(weights)
    }

    /// One step from weights where the support loss is `loss`.
    pub(super) fn step(
        &self,
        step: usize,
        weights: &[Tensor<E>],
        loss: &Tensor<E>,
    ) -> Result<Vec<Tensor<E>>> {
        let mut gradients = inner_gradients(loss, weights, self.order)?;
        if !self.curvature.is_empty() {
            if self.curvature.len() != weights.len() {
                let got = (self.curvature.len(), weights.len());
                let expected = "matrices for each weight, or none at all";
                return Err(Error::argument("inner loop", "(matrices, weights)", got, expected));
            }
            for (g, factors) in gradients.iter_mut().zip(self.curvature) {
                *g = precondition(g, factors)?;
            }
        }
        let Some(rates) = self.rates.get(step).or(self.rates.last()) else {
            return Err(Error::argument("inner loop", "rates", 0, "a rate for each weight"));
        };
        descend(weights, &gradients, rates)
    }
}

/// How much the query losses after step 1 to `steps` count in the multi-step
/// loss of MAML++ (Antoniou et al. 2019, section 4): all alike at first; each
/// but the last falls linearly, to no less than 0.03 / `steps`, until `progress`
/// (0 to 1) reaches `part` of the run; from there on the last counts alone. A
/// `part` of 0 is plain MAML. They sum to 1.
pub fn step_weights(steps: usize, progress: f64, part: f64) -> Vec<f64> {
    let mut weights = vec![0.0; steps];
    let Some(last) = steps.checked_sub(1) else { return weights };
    let k = steps as f64;
    if progress < part {
        let early = ((1.0 - progress / part) / k).max(0.03 / k);
        weights.fill(early);
        weights[last] = 1.0 - early * (k - 1.0);
    } else {
        weights[last] = 1.0;
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_weights_are_those_of_the_authors_code() {
        // `get_per_step_loss_importance_vector` with 5 steps and 10 epochs.
        let expected = |epoch: f64| {
            let early = (0.2 - epoch * 0.2 / 10.0).max(0.006);
            vec![early, early, early, early, (0.2 + epoch * 4.0 * 0.02).min(1.0 - 4.0 * 0.006)]
        };
        for epoch in [0.0, 1.0, 5.0, 9.0, 9.9] {
            let got = step_weights(5, epoch / 100.0, 0.1);
            for (got, want) in got.iter().zip(expected(epoch)) {
                approx::assert_abs_diff_eq!(*got, want, epsilon = 1e-12);
            }
        }
        assert_eq!(step_weights(3, 0.1, 0.1), [0.0, 0.0, 1.0]);
        assert_eq!(step_weights(2, 0.0, 0.0), [0.0, 1.0]);
        assert_eq!(step_weights(1, 0.05, 0.1), [1.0]);
        assert!(step_weights(0, 0.0, 0.0).is_empty());
    }

    #[test]
    fn lists_that_do_not_fit_are_refused() {
        let weight = || vec![Tensor::<f64>::scalar(1.0).requires_grad()];
        let loss = |_: usize, w: &[Tensor<f64>]| Ok(w[0].square());
        let none = InnerLoop { steps: 1, order: Order::First, rates: &[], curvature: &[] };
        assert!(none.run(weight(), loss).unwrap_err().to_string().contains("rates is 0"));
        let rates = [vec![Tensor::scalar(0.1); 2]];
        let two = InnerLoop { rates: &rates, ..none };
        assert!(two.run(weight(), loss).unwrap_err().to_string().contains("as many"));
        let constant = vec![Tensor::scalar(1.0)];
        assert!(two.run(constant, loss).unwrap_err().to_string().contains("requires_grad"));
    }
}
