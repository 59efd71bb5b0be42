//! Distillation of sequences.

use crate::check::{c, logits, positive};
use tl_tensor::{CrossEntropy, Elem, Error, Indices, Reduction, Result, Tensor};

/// Word-level distillation (Kim and Rush 2016, section 3.1): [`kd`](crate::kd)
/// at every place of a sequence, with the mean over the places that `mask`
/// keeps (1) and not over padding (0). Logits are `[n, length, classes]`, the
/// mask is `[n, length]`.
///
/// # Errors
/// The shapes do not fit; the mask keeps nothing; the temperature is not above 0.
pub fn token_kd<E: Elem>(
    student: &Tensor<E>,
    teacher: &Tensor<E>,
    mask: &Tensor<E>,
    temperature: f64,
) -> Result<Tensor<E>> {
    const OP: &str = "token_kd";
    logits(OP, student, teacher)?;
    positive(OP, "temperature", temperature)?;
    let (mask, kept) = places(OP, student, mask)?;
    let soft = |z: &Tensor<E>| z.mul_scalar(c(1.0 / temperature)).log_softmax(-1);
    let target = soft(&teacher.detach())?;
    let kl = target.exp().mul(&target.sub(&soft(student)?)?)?.sum([-1], false)?;
    Ok(kl.mul(&mask)?.sum_all().mul_scalar(c(temperature * temperature / kept)))
}

/// Sequence-level distillation (Kim and Rush 2016, section 3.2): the cross
/// entropy with what the teacher *wrote*, for example by beam search, as the
/// mean over the places that the mask keeps. Logits are
/// `[n, length, classes]`, tokens and mask `[n, length]`.
///
/// # Errors
/// The shapes do not fit; a token is out of range; the mask keeps nothing.
pub fn sequence_kd<E: Elem>(
    student: &Tensor<E>,
    tokens: &Indices,
    mask: &Tensor<E>,
) -> Result<Tensor<E>> {
    const OP: &str = "sequence_kd";
    let (mask, kept) = places(OP, student, mask)?;
    let [n, length, classes] = *student.dims() else {
        return Err(Error::shape(OP, student.shape(), "[n, length, classes]"));
    };
    if tokens.dims() != [n, length] {
        return Err(Error::shapes(OP, student.shape(), tokens.shape(), "tokens [n, length]"));
    }
    let losses = CrossEntropy::new()
        .reduction(Reduction::None)
        .loss(&student.reshape([n * length, classes])?, &tokens.reshape(n * length)?)?;
    Ok(losses.mul(&mask.reshape(n * length)?)?.sum_all().mul_scalar(c(1.0 / kept)))
}

/// The mask as a constant and how many places it keeps.
fn places<E: Elem>(
    op: &'static str,
    student: &Tensor<E>,
    mask: &Tensor<E>,
) -> Result<(Tensor<E>, f64)> {
    if student.rank() != 3 || mask.dims() != &student.dims()[..2] {
        let expected = "logits [n, length, classes] and a mask [n, length]";
        return Err(Error::shapes(op, student.shape(), mask.shape(), expected));
    }
    let mask = mask.detach();
    if let Some(bad) = mask.to_vec().into_iter().find(|&m| m != E::ZERO && m != E::ONE) {
        return Err(Error::argument(op, "mask", format!("{bad}"), "0 or 1"));
    }
    let kept = mask.sum_all().item()?.to_f64();
    if kept == 0.0 {
        return Err(Error::argument(op, "mask", "0 everywhere", "a place to learn from"));
    }
    Ok((mask, kept))
}
