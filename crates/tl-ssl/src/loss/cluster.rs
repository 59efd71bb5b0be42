//! Views that agree on a prototype.

use super::temperature;
use crate::{Error, Result};
use tl_tensor::{Elem, Tensor};

/// SwAV's assignments (Caron et al. 2020, eq. 3 to 5): from scores `[n, k]`, by
/// `iterations` of Sinkhorn and Knopp on `exp(scores / ε)`, so that prototypes
/// share the batch equally; rows sum to 1. A constant. The paper has `ε` 0.05
/// and 3 iterations.
///
/// # Errors
/// Scores that are no finite matrix; `ε` not above 0.
pub fn sinkhorn_assign<E: Elem>(
    scores: &Tensor<E>,
    epsilon: f64,
    iterations: usize,
) -> Result<Tensor<E>> {
    temperature("sinkhorn", epsilon)?;
    if scores.rank() != 2 || !scores.is_finite() {
        let got = format!("{:?}", scores.dims());
        return Err(Error::argument("sinkhorn", "scores", got, "a finite matrix"));
    }
    let mut log_q = scores.detach().mul_scalar(E::from_f64(1.0 / epsilon));
    for _ in 0..iterations.max(1) {
        log_q = log_q.sub(&log_q.logsumexp(0, true)?)?;
        log_q = log_q.sub(&log_q.logsumexp(1, true)?)?;
    }
    Ok(log_q.exp())
}

/// SwAV's swapped prediction (eq. 1): the cross entropy of each view's softmax of
/// scores at temperature `tau` (0.1) with the *other* view's
/// [`sinkhorn_assign`]ment, half of the sum.
///
/// # Errors
/// Scores of different shapes; a temperature not above 0.
pub fn swav<E: Elem>(a: &Tensor<E>, b: &Tensor<E>, tau: f64, epsilon: f64) -> Result<Tensor<E>> {
    super::pair("swav", a, b)?;
    temperature("swav", tau)?;
    let one = |scores: &Tensor<E>, other: &Tensor<E>| -> Result<Tensor<E>> {
        let q = sinkhorn_assign(other, epsilon, 3)?;
        let log_p = scores.mul_scalar(E::from_f64(1.0 / tau)).log_softmax(-1)?;
        Ok(q.mul(&log_p)?.sum(-1, false)?.mean_all().neg())
    };
    Ok(one(a, b)?.add(&one(b, a)?)?.mul_scalar(E::from_f64(0.5)))
}

/// DINO (Caron et al. 2021, eq. 2): the cross entropy of the student's softmax at
/// `student_tau` (0.1) with the teacher's at `teacher_tau` (0.04), from which a
/// `centre` `[1, k]` is taken off first. Teacher and centre are constants; move
/// the centre by `0.9 centre + 0.1 mean(teacher)` after the step.
///
/// # Errors
/// Shapes that differ; temperatures not above 0.
pub fn dino<E: Elem>(
    student: &Tensor<E>,
    teacher: &Tensor<E>,
    centre: &Tensor<E>,
    student_tau: f64,
    teacher_tau: f64,
) -> Result<Tensor<E>> {
    super::pair("dino", student, teacher)?;
    temperature("dino", student_tau)?;
    temperature("dino", teacher_tau)?;
    let shifted = teacher.detach().sub(&centre.detach())?;
    let p = shifted.mul_scalar(E::from_f64(1.0 / teacher_tau)).softmax(-1)?;
    let log_q = student.mul_scalar(E::from_f64(1.0 / student_tau)).log_softmax(-1)?;
    Ok(p.mul(&log_q)?.sum(-1, false)?.mean_all().neg())
}
