//! Distillation from a stronger teacher.

use crate::check::{c, logits, not_negative, positive};
use tl_tensor::{Elem, Error, Result, Tensor};

/// DIST (Huang et al. 2022, eq. 8 to 10):
///
/// `T² [β (1 - mean of the rows' correlations) + γ (1 - mean of the columns')]`
///
/// with Pearson's correlation of the softmax at temperature `T` of student and
/// teacher. Rows are samples, columns are classes over the *batch*, so a batch
/// needs at least two samples and should be a large one. Logits are
/// `[n, classes]`. Defaults of the paper: `β` 1, `γ` 1, `T` 1. A correlation's
/// denominator has 1e-8 added.
///
/// # Errors
/// The shapes do not fit; fewer than two samples; a weight below 0; the
/// temperature is not above 0.
pub fn dist<E: Elem>(
    student: &Tensor<E>,
    teacher: &Tensor<E>,
    beta: f64,
    gamma: f64,
    temperature: f64,
) -> Result<Tensor<E>> {
    const OP: &str = "dist";
    logits(OP, student, teacher)?;
    positive(OP, "temperature", temperature)?;
    not_negative(OP, "beta", beta)?;
    not_negative(OP, "gamma", gamma)?;
    if student.rank() != 2 || student.dims()[0] < 2 {
        return Err(Error::shape(OP, student.shape(), "[n, classes], n at least 2"));
    }
    let soft = |z: &Tensor<E>| z.mul_scalar(c(1.0 / temperature)).softmax(-1);
    let (s, t) = (soft(student)?, soft(&teacher.detach())?);
    let rows = far(&s, &t, 1)?.mul_scalar(c(beta));
    let columns = far(&s, &t, 0)?.mul_scalar(c(gamma));
    Ok(rows.add(&columns)?.mul_scalar(c(temperature * temperature)))
}

/// 1 minus the mean correlation along `axis`.
fn far<E: Elem>(s: &Tensor<E>, t: &Tensor<E>, axis: isize) -> Result<Tensor<E>> {
    let centre = |x: &Tensor<E>| x.sub(&x.mean([axis], true)?);
    let (s, t) = (centre(s)?, centre(t)?);
    let size = |x: &Tensor<E>| x.norm([axis], false);
    let scale = size(&s)?.mul(&size(&t)?)?.add_scalar(c(1e-8));
    let correlation = s.mul(&t)?.sum([axis], false)?.div(&scale)?;
    Ok(correlation.mean_all().affine(-E::ONE, E::ONE))
}
