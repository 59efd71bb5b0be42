//! Losses: plain functions of tensors, in `f32` or `f64`, with the reduction
//! said at the call.
//!
//! Cross entropy, which has options and a fused kernel, is
//! [`CrossEntropy`](crate::CrossEntropy).
//!
//! | function | of | source |
//! |---|---|---|
//! | [`mse`], [`l1`], [`huber`], [`smooth_l1`] | real targets | Huber 1964; Girshick 2015 |
//! | [`bce_with_logits`] | independent yes-or-no targets | |
//! | [`focal`], [`sigmoid_focal`] | classes, many of them easy | Lin et al. 2017 |
//! | [`nll`] | classes, from log-probabilities | |
//! | [`kl_div`], [`kl_div_log`] | distributions | Kullback and Leibler 1951 |
//! | [`cosine_embedding`], [`triplet`] | pairs and triples of embeddings | Schroff et al. 2015 |

mod binary;
mod classes;
mod divergence;
mod embedding;
mod regression;

pub use binary::{bce_with_logits, sigmoid_focal};
pub use classes::{focal, nll};
pub use divergence::{kl_div, kl_div_log};
pub use embedding::{cosine_embedding, cosine_similarity, pairwise_distance, triplet};
pub use regression::{huber, l1, mse, smooth_l1};

use tl_tensor::{Elem, Error, Result, Tensor};

/// Losses never broadcast their targets: `[n, 1]` against `[n]` would give
/// `[n, n]` and train on nonsense.
fn same_shape<E: Elem>(op: &'static str, input: &Tensor<E>, target: &Tensor<E>) -> Result<()> {
    if input.shape() == target.shape() {
        return Ok(());
    }
    Err(Error::shapes(op, input.shape(), target.shape(), "input and target of one shape"))
}

/// A setting that has to be a finite number from `least` on.
fn at_least(op: &'static str, name: &'static str, value: f64, least: f64) -> Result<()> {
    if value.is_finite() && value >= least {
        return Ok(());
    }
    let expected = format!("a finite number from {least} on");
    Err(Error::argument(op, name, value.to_string(), expected))
}

/// A setting that has to be a finite number above 0.
fn positive(op: &'static str, name: &'static str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::argument(op, name, value.to_string(), "a finite number above 0"))
}
