//! Losses of one class per sample, beside cross entropy.

use super::at_least;
use tl_tensor::{Elem, Error, Indices, Reduction, Result, Tensor};

/// The numbers of the right classes, `[n]`, from `[n, classes]`.
fn of_class<E: Elem>(op: &'static str, x: &Tensor<E>, classes: &Indices) -> Result<Tensor<E>> {
    let n = classes.len();
    if x.rank() != 2 || x.dims()[0] != n || classes.shape().rank() != 1 {
        return Err(Error::shapes(
            op,
            x.shape(),
            classes.shape(),
            "[n, classes] and one class index for each of the n samples",
        ));
    }
    x.gather(1, &classes.reshape([n, 1])?)?.reshape(n)
}

/// The negative log-likelihood `-w_y ln p_y` from log-probabilities
/// `[n, classes]`. With weights the mean divides by the sum of the `w_y`, as
/// PyTorch's `NLLLoss` does.
///
/// # Errors
/// The shapes do not fit; a class is out of range.
pub fn nll<E: Elem>(
    log_probs: &Tensor<E>,
    classes: &Indices,
    weight: Option<&Tensor<E>>,
    reduction: Reduction,
) -> Result<Tensor<E>> {
    let losses = of_class("nll", log_probs, classes)?.neg();
    let Some(weight) = weight else { return Ok(reduction.apply(&losses)) };
    if weight.dims() != [log_probs.dims()[1]] {
        return Err(Error::shapes(
            "nll",
            log_probs.shape(),
            weight.shape(),
            "a weight for each class",
        ));
    }
    let weights = weight.detach().index_select(0, classes)?;
    let losses = losses.mul(&weights)?;
    match reduction {
        Reduction::Mean => losses.sum_all().div(&weights.sum_all()),
        other => Ok(other.apply(&losses)),
    }
}

/// The focal loss of classes (Lin et al. 2017, with a softmax):
/// `-α_y (1 - p_y)^γ ln p_y` from logits `[n, classes]`; `alpha` holds a weight
/// per class. `gamma` 0 is cross entropy; the paper's setting is 2.
///
/// The mean is over the samples, also with weights.
///
/// # Errors
/// The shapes do not fit; a class is out of range; `gamma` is negative.
pub fn focal<E: Elem>(
    logits: &Tensor<E>,
    classes: &Indices,
    gamma: f64,
    alpha: Option<&Tensor<E>>,
    reduction: Reduction,
) -> Result<Tensor<E>> {
    at_least("focal", "gamma", gamma, 0.0)?;
    let log_p = of_class("focal", &logits.log_softmax(-1)?, classes)?;
    // 1 - p, exact also where p is nearly 1.
    let wrong = log_p.expm1().neg();
    let mut losses = wrong.powf(E::from_f64(gamma)).mul(&log_p)?.neg();
    if let Some(alpha) = alpha {
        if alpha.dims() != [logits.dims()[1]] {
            return Err(Error::shapes(
                "focal",
                logits.shape(),
                alpha.shape(),
                "a weight for each class",
            ));
        }
        losses = losses.mul(&alpha.detach().index_select(0, classes)?)?;
    }
    Ok(reduction.apply(&losses))
}
