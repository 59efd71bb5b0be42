//! Distillation of real targets.

use crate::check::{c, not_negative, same_shape};
use tl_tensor::{Elem, Error, Result, Tensor};

/// The bounded regression loss (Chen et al. 2017, eq. 4): a student is pulled
/// to the *true* target as long as it is not better than the teacher by a
/// margin, because a teacher's real-valued output has no dark knowledge and can
/// be wrong without bound:
///
/// `(1/n) Σ ‖s - y‖² · [‖s - y‖² + margin > ‖t - y‖²]`
///
/// for outputs and targets of one shape, `[n]` or `[n, d]`. It stands beside
/// the usual loss of the target with weight ½ in the paper; margin 0 is usual.
///
/// # Errors
/// The shapes differ; no sample; the margin is negative.
pub fn bounded_regression<E: Elem>(
    student: &Tensor<E>,
    teacher: &Tensor<E>,
    target: &Tensor<E>,
    margin: f64,
) -> Result<Tensor<E>> {
    const OP: &str = "bounded_regression";
    same_shape(OP, student, teacher)?;
    same_shape(OP, student, target)?;
    not_negative(OP, "margin", margin)?;
    if student.rank() == 0 || student.numel() == 0 {
        return Err(Error::shape(OP, student.shape(), "[n] or [n, d], n > 0"));
    }
    let n = student.dims()[0];
    let target = target.detach();
    let error = |x: &Tensor<E>| -> Result<Tensor<E>> {
        x.sub(&target)?.square().reshape([n, x.numel() / n])?.sum([1], false)
    };
    let (own, other) = (error(student)?, error(&teacher.detach())?);
    let worse = own.detach().add_scalar(c(margin)).gt(&other)?;
    Ok(own.mul(&worse)?.mean_all())
}
