//! More than one teacher.

use crate::check::{c, logits, positive};
use tl_nn::loss;
use tl_tensor::{Elem, Error, Reduction, Result, Tensor};

/// The weighted mean of the teachers' probabilities at a temperature,
/// `Σ w_k softmax(t_k / T)`, `[.., classes]`. Without weights all count alike;
/// weights are divided by their sum.
///
/// This is the arithmetic mean of *probabilities* (Hinton, Vinyals and Dean
/// 2015, section 3). The mean of logits, which some libraries take, is the
/// geometric mean: another, sharper target.
///
/// # Errors
/// No teacher; shapes that differ; weights that are not one for each teacher,
/// not finite, negative or all 0; the temperature is not above 0.
pub fn mean_probabilities<E: Elem>(
    teachers: &[&Tensor<E>],
    weights: Option<&[f64]>,
    temperature: f64,
) -> Result<Tensor<E>> {
    const OP: &str = "mean_probabilities";
    positive(OP, "temperature", temperature)?;
    let Some(first) = teachers.first() else {
        return Err(Error::argument(OP, "teachers", "an empty list", "at least one"));
    };
    let mut sum = Tensor::<E>::zeros(*first.shape());
    for (teacher, share) in teachers.iter().zip(shares(OP, weights, teachers.len())?) {
        logits(OP, first, teacher)?;
        let p = teacher.detach().mul_scalar(c(1.0 / temperature)).softmax(-1)?;
        sum = sum.add(&p.mul_scalar(c(share)))?;
    }
    Ok(sum)
}

/// The weights of `n` teachers over their sum; without any all count alike.
pub(crate) fn shares(op: &'static str, weights: Option<&[f64]>, n: usize) -> Result<Vec<f64>> {
    let Some(weights) = weights else { return Ok(vec![1.0 / n as f64; n]) };
    let total: f64 = weights.iter().sum();
    let usable = weights.iter().all(|w| w.is_finite() && *w >= 0.0) && total > 0.0;
    if weights.len() != n || !usable || !total.is_finite() {
        let expected = format!("{n} numbers from 0 on, not all 0");
        return Err(Error::argument(op, "weights", format!("{weights:?}"), expected));
    }
    Ok(weights.iter().map(|w| w / total).collect())
}

/// [`kd`](crate::kd) from several teachers, with [`mean_probabilities`] as the
/// target: `T² · (1/n) Σ KL(Σ_k w_k softmax(t_k / T) ‖ softmax(s / T))`.
///
/// # Errors
/// As [`mean_probabilities`]; the student's shape is another.
pub fn multi_teacher_kd<E: Elem>(
    student: &Tensor<E>,
    teachers: &[&Tensor<E>],
    weights: Option<&[f64]>,
    temperature: f64,
) -> Result<Tensor<E>> {
    let target = mean_probabilities(teachers, weights, temperature)?;
    logits("multi_teacher_kd", student, &target)?;
    let log_q = student.mul_scalar(c(1.0 / temperature)).log_softmax(-1)?;
    let kl = loss::kl_div(&log_q, &target, Reduction::Mean)?;
    Ok(kl.mul_scalar(c(temperature * temperature)))
}
