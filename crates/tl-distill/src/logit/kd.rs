//! Hinton's distillation, and its limit for a high temperature.

use crate::check::{c, logits, positive, same_shape};
use tl_nn::loss;
use tl_tensor::{Elem, Reduction, Result, Tensor};

/// Knowledge distillation (Hinton, Vinyals and Dean 2015, section 2):
///
/// `T² · (1/n) Σ KL(softmax(t / T) ‖ softmax(s / T))`
///
/// of logits `[.., classes]`; the mean is over all `n` distributions. The
/// factor `T²` is always there: it keeps the gradient's size, `T/n (p_s - p_t)`,
/// about the same for all temperatures. Libraries disagree (some leave it out
/// always or sometimes, some divide by the classes too), so weights from
/// elsewhere may need it.
///
/// The whole loss of the paper is `(1 - w) · cross entropy + w · kd`; usual are
/// `T` from 2 to 5 (20 for a wide student) and `w` 0.9.
///
/// ```
/// use tl_distill::kd;
/// use tl_nn::Tensor;
/// # fn main() -> tl_nn::Result<()> {
/// let student = Tensor::from_slice(&[0.0, 0.0], [1, 2])?.requires_grad();
/// let teacher = Tensor::from_slice(&[2.0, 0.0], [1, 2])?;
/// let loss = kd(&student, &teacher, 4.0)?;
/// let gradient = loss.backward()?;
/// // T (1/2 - 1/(1 + e^(-2/4)))
/// let expected = 4.0 * (0.5 - 1.0 / (1.0 + (-0.5_f32).exp()));
/// assert!((gradient.get(&student).unwrap().to_vec()[0] - expected).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The shapes differ or are not `[.., classes]`; the temperature is not above 0.
pub fn kd<E: Elem>(
    student: &Tensor<E>,
    teacher: &Tensor<E>,
    temperature: f64,
) -> Result<Tensor<E>> {
    logits("kd", student, teacher)?;
    positive("kd", "temperature", temperature)?;
    let soft = |z: &Tensor<E>| z.mul_scalar(c(1.0 / temperature)).log_softmax(-1);
    let target = soft(&teacher.detach())?;
    let kl = loss::kl_div_log(&soft(student)?, &target, Reduction::Mean)?;
    Ok(kl.mul_scalar(c(temperature * temperature)))
}

/// The squared difference of logits (Ba and Caruana 2014, eq. 1), as a mean
/// over all their numbers; what [`kd`] tends to for a high temperature and
/// centred logits, up to a factor of 2.
///
/// # Errors
/// The shapes differ.
pub fn logit_mse<E: Elem>(student: &Tensor<E>, teacher: &Tensor<E>) -> Result<Tensor<E>> {
    same_shape("logit_mse", student, teacher)?;
    loss::mse(student, &teacher.detach(), Reduction::Mean)
}
