//! Divergence of distributions.

use super::same_shape;
use tl_tensor::{Elem, Reduction, Result, Tensor};

/// The Kullback-Leibler divergence `KL(p ‖ q) = Σ p (ln p - ln q)` over the
/// last axis: `target` holds `p`, `log_probs` holds `ln q`, both `[.., classes]`.
/// `0 ln 0` is 0.
///
/// The mean is over distributions, not over numbers: PyTorch's `batchmean`,
/// which is the divergence of the definition.
///
/// # Errors
/// The shapes differ.
pub fn kl_div<E: Elem>(
    log_probs: &Tensor<E>,
    target: &Tensor<E>,
    reduction: Reduction,
) -> Result<Tensor<E>> {
    same_shape("kl_div", log_probs, target)?;
    // Where p is 0 the logarithm is taken of 1, so that neither the loss nor a
    // gradient is NaN.
    let zero = target.le_scalar(E::ZERO);
    let log_p = Tensor::where_cond(&zero, &Tensor::ones(*target.shape()), target)?.log();
    let terms = target.mul(&log_p.sub(log_probs)?)?;
    Ok(reduction.apply(&terms.sum(-1, false)?))
}

/// As [`kl_div`], with the target as logarithms of probabilities. Stabler when
/// both come from `log_softmax`.
///
/// # Errors
/// The shapes differ.
pub fn kl_div_log<E: Elem>(
    log_probs: &Tensor<E>,
    log_target: &Tensor<E>,
    reduction: Reduction,
) -> Result<Tensor<E>> {
    same_shape("kl_div_log", log_probs, log_target)?;
    let terms = log_target.exp().mul(&log_target.sub(log_probs)?)?;
    Ok(reduction.apply(&terms.sum(-1, false)?))
}
