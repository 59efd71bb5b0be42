//! The teacher's classes as labels.

use crate::check::{c, logits};
use tl_tensor::{CrossEntropy, Elem, Error, Indices, Reduction, Result, Tensor};

/// The teacher's class for each row of `[n, classes]`.
///
/// # Errors
/// No matrix.
pub fn pseudo_labels<E: Elem>(teacher: &Tensor<E>) -> Result<Indices> {
    if teacher.rank() != 2 || teacher.numel() == 0 {
        return Err(Error::shape("pseudo_labels", teacher.shape(), "[n, classes]"));
    }
    teacher.argmax(1)
}

/// The cross entropy with the teacher's classes (Lee 2013), of the samples of
/// which the teacher is at least as sure as `confidence`, from 0 to 1. The mean
/// is over *all* samples of the batch, as in FixMatch (Sohn et al. 2020, eq. 4):
/// a batch of which little is sure weighs little.
///
/// # Errors
/// The shapes do not fit; `confidence` is not from 0 to 1.
pub fn pseudo_label<E: Elem>(
    student: &Tensor<E>,
    teacher: &Tensor<E>,
    confidence: f64,
) -> Result<Tensor<E>> {
    const OP: &str = "pseudo_label";
    logits(OP, student, teacher)?;
    if !(0.0..=1.0).contains(&confidence) {
        let got = confidence.to_string();
        return Err(Error::argument(OP, "confidence", got, "a probability from 0 to 1"));
    }
    let teacher = teacher.detach();
    let losses =
        CrossEntropy::new().reduction(Reduction::None).loss(student, &pseudo_labels(&teacher)?)?;
    let sure = teacher.softmax(-1)?.max([-1], false)?.ge_scalar(c(confidence));
    Ok(losses.mul(&sure)?.mean_all())
}
