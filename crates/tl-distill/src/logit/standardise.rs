//! Distillation of standardised logits.

use crate::{
    check::{c, logits},
    logit::kd,
};
use tl_tensor::{Elem, Result, Tensor};

/// `(z - mean) / (1e-7 + std)` over the last axis, with the unbiased standard
/// deviation, as the paper's code has it (Sun et al. 2024, algorithm 1).
///
/// # Errors
/// No axis.
pub fn standardise<E: Elem>(logits: &Tensor<E>) -> Result<Tensor<E>> {
    let centred = logits.sub(&logits.mean([-1], true)?)?;
    // Equal logits have no direction: their deviation's derivative is infinite
    // at 0, so it is taken of a tiny variance instead.
    let classes = logits.size(-1)?.max(2) as f64;
    let variance = centred.square().sum([-1], true)?.mul_scalar(c(1.0 / (classes - 1.0)));
    let std = variance.add_scalar(c(1e-20)).sqrt().add_scalar(c(1e-7));
    centred.div(&std)
}

/// [`kd`] of [`standardise`]d logits (Sun et al. 2024, "Logit standardization
/// in knowledge distillation"): the student need not match the teacher's scale,
/// only the order and the proportions. The paper's code takes temperature 2 and
/// weight 9. The cross entropy beside it uses the logits as they are.
///
/// # Errors
/// As [`kd`].
pub fn standardised_kd<E: Elem>(
    student: &Tensor<E>,
    teacher: &Tensor<E>,
    temperature: f64,
) -> Result<Tensor<E>> {
    logits("standardised_kd", student, teacher)?;
    kd(&standardise(student)?, &standardise(&teacher.detach())?, temperature)
}
