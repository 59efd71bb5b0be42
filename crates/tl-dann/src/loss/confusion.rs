//! Losses on predictions for unlabelled samples.

use crate::{Error, Result};
use tl_tensor::{CrossEntropy, Elem, Tensor};

/// The mean entropy `-Σ p ln p` of predictions, from logits `[n, c]`.
///
/// # Errors
/// Logits that are no matrix.
pub fn entropy<E: Elem>(logits: &Tensor<E>) -> Result<Tensor<E>> {
    let log_p = logits.log_softmax(-1)?;
    Ok(log_p.exp().mul(&log_p)?.sum(-1, false)?.mean_all().neg())
}

/// What SHOT minimises (Liang et al. 2020, eq. 3): the mean entropy minus the
/// entropy of the mean prediction, so that predictions are sure, but not all
/// the same.
///
/// # Errors
/// Logits that are no matrix.
pub fn information_maximisation<E: Elem>(logits: &Tensor<E>) -> Result<Tensor<E>> {
    let mean = logits.softmax(-1)?.mean(0, false)?;
    let diversity = mean.mul(&mean.add_scalar(E::from_f64(1e-12)).log())?.sum_all();
    Ok(entropy(logits)?.add(&diversity)?)
}

/// Minimum class confusion (Jin et al. 2020, eq. 2 to 6): probabilities at a
/// temperature, samples weighted by `1 + e^(-H)` (constants, with mean 1), their
/// class correlation normalised by rows; the mean over classes of what is off
/// the diagonal. The paper takes temperature 2.5.
///
/// # Errors
/// Logits that are no matrix; a temperature not above 0.
pub fn class_confusion<E: Elem>(logits: &Tensor<E>, temperature: f64) -> Result<Tensor<E>> {
    if !(temperature.is_finite() && temperature > 0.0) {
        return Err(Error::argument("mcc", "temperature", temperature, "a number above 0"));
    }
    let (n, c) = (logits.size(0)?, logits.size(1)?);
    let p = logits.mul_scalar(E::from_f64(1.0 / temperature)).softmax(-1)?;
    let w = super::entropy_weights(&p)?;
    let w = w.mul_scalar(E::from_f64(n as f64)).div(&w.sum_all())?;
    let correlation = p.mul(&w.unsqueeze(1)?)?.t()?.matmul(&p)?;
    // A class that no sample may be of has an empty row.
    let sums = correlation.sum(1, true)?.clamp(E::from_f64(1e-12), E::from_f64(f64::INFINITY));
    let rows = correlation.div(&sums)?;
    let kept = rows.mul(&Tensor::<E>::eye(c))?.sum_all();
    Ok(rows.sum_all().sub(&kept)?.mul_scalar(E::from_f64(1.0 / c as f64)))
}

/// Cross entropy of `student` logits with the classes that `teacher` logits
/// name, for those samples only whose largest probability is at least
/// `threshold` (Sohn et al. 2020, eq. 4: a weakly and a strongly changed view,
/// 0.95). The mean is over all samples, so few sure ones count little. Also
/// returns the part of samples that counted.
///
/// # Errors
/// Shapes that differ; a threshold not in 0 to 1.
pub fn pseudo_label_loss<E: Elem>(
    student: &Tensor<E>,
    teacher: &Tensor<E>,
    threshold: f64,
) -> Result<(Tensor<E>, f64)> {
    if !(0.0..=1.0).contains(&threshold) {
        return Err(Error::argument("pseudo-labels", "threshold", threshold, "0 to 1"));
    }
    let p = teacher.detach().softmax(-1)?;
    let sure = p.max(-1, false)?.ge_scalar(E::from_f64(threshold));
    let labels = p.argmax(-1)?;
    let each = CrossEntropy::new().reduction(tl_tensor::Reduction::None).loss(student, &labels)?;
    let part = sure.mean_all().item()?.to_f64();
    Ok((each.mul(&sure)?.mean_all(), part))
}
