//! Losses of independent yes-or-no targets.

use super::{at_least, same_shape};
use tl_tensor::{Elem, Error, Reduction, Result, Tensor};

/// Binary cross entropy from logits, with targets `t` from 0 to 1:
/// `-[w t ln σ(x) + (1 - t) ln(1 - σ(x))]`, without overflow. `pos_weight`, the
/// `w`, broadcasts to the logits; the negatives' number over the positives'
/// balances a rare label.
///
/// ```
/// use tl_nn::{Reduction, Tensor, loss};
/// # fn main() -> tl_nn::Result<()> {
/// let loss = loss::bce_with_logits(&Tensor::scalar(-200.0), &Tensor::scalar(1.0), None, Reduction::Mean)?;
/// assert_eq!(loss.item()?, 200.0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The shapes differ, or the weight does not broadcast to them.
pub fn bce_with_logits<E: Elem>(
    logits: &Tensor<E>,
    target: &Tensor<E>,
    pos_weight: Option<&Tensor<E>>,
    reduction: Reduction,
) -> Result<Tensor<E>> {
    same_shape("bce_with_logits", logits, target)?;
    // -ln σ(x) = softplus(-x) and -ln(1 - σ(x)) = x + softplus(-x), so the sum
    // is (1 - t) x + (1 + (w - 1) t) softplus(-x).
    let mut nat = logits.neg().softplus();
    if let Some(weight) = pos_weight {
        if weight.broadcast_to(*logits.shape()).is_err() {
            return Err(Error::shapes(
                "bce_with_logits",
                logits.shape(),
                weight.shape(),
                "a pos_weight that broadcasts to the logits",
            ));
        }
        nat = nat.mul(&weight.add_scalar(-E::ONE).mul(target)?.add_scalar(E::ONE))?;
    }
    let losses = target.affine(-E::ONE, E::ONE).mul(logits)?.add(&nat)?;
    Ok(reduction.apply(&losses))
}

/// The focal loss of independent labels (Lin et al. 2017, eq. 5):
/// `-α_t (1 - p_t)^γ ln p_t` with `p_t` the probability of the right answer
/// and `α_t` = `alpha` for positives, `1 - alpha` for negatives (`None`: 1 for
/// both). The paper's setting is `gamma` 2, `alpha` 0.25.
///
/// # Errors
/// The shapes differ; `gamma` is negative; `alpha` is not from 0 to 1.
pub fn sigmoid_focal<E: Elem>(
    logits: &Tensor<E>,
    target: &Tensor<E>,
    gamma: f64,
    alpha: Option<f64>,
    reduction: Reduction,
) -> Result<Tensor<E>> {
    const OP: &str = "sigmoid_focal";
    same_shape(OP, logits, target)?;
    at_least(OP, "gamma", gamma, 0.0)?;
    let ce = bce_with_logits(logits, target, None, Reduction::None)?;
    let p = logits.sigmoid();
    // 1 - p_t = p (1 - t) + (1 - p) t = p + t - 2 p t.
    let wrong = p.add(target)?.sub(&p.mul(target)?.mul_scalar(E::from_f64(2.0)))?;
    let mut losses = ce.mul(&wrong.powf(E::from_f64(gamma)))?;
    if let Some(alpha) = alpha {
        if !(0.0..=1.0).contains(&alpha) {
            return Err(Error::argument(OP, "alpha", alpha.to_string(), "a number from 0 to 1"));
        }
        let of_t = target.affine(E::from_f64(2.0 * alpha - 1.0), E::from_f64(1.0 - alpha));
        losses = losses.mul(&of_t)?;
    }
    Ok(reduction.apply(&losses))
}
