//! One step of the inner loop, on tensors of any precision.

use crate::Result;
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
        return Err(crate::Error::argument("inner_gradients", "weights", "constant", expected));
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
        return Err(crate::Error::argument("descend", "lists", got, expected));
    }
    weights
        .iter()
        .zip(gradients)
        .zip(rates)
        .map(|((w, g), rate)| Ok(w.sub(&g.mul(rate)?)?))
        .collect()
}
