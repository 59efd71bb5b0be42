//! Decoupled distillation.

use crate::check::{c, logits, not_negative, positive};
use tl_nn::loss;
use tl_tensor::{Elem, Error, Indices, Reduction, Result, Tensor};

/// So small that its exponential is 0, yet no infinity: a difference of two of
/// these is a number.
const NOTHING: f64 = -1e30;

/// Decoupled knowledge distillation (Zhao et al. 2022, eq. 7):
///
/// `T² · (1/n) Σ [α KL(b_t ‖ b_s) + β KL(q_t ‖ q_s)]`
///
/// where `b = [p_y, 1 - p_y]` is the chance of the true class against all
/// others and `q` the softmax over the others alone, both at temperature `T`.
/// Logits are `[n, classes]`. The paper's defaults: `α` 1, `β` 8, `T` 4, and a
/// warm-up of the weight over the first 20 epochs; `β` is tuned for each pair
/// of networks. With `β = 1 - p_t,y` it would be [`kd`](crate::kd).
///
/// # Errors
/// The shapes do not fit; a label is out of range; fewer than 3 classes, where
/// the second term is always 0; a weight below 0; the temperature is not above 0.
pub fn dkd<E: Elem>(
    student: &Tensor<E>,
    teacher: &Tensor<E>,
    labels: &Indices,
    alpha: f64,
    beta: f64,
    temperature: f64,
) -> Result<Tensor<E>> {
    const OP: &str = "dkd";
    logits(OP, student, teacher)?;
    positive(OP, "temperature", temperature)?;
    not_negative(OP, "alpha", alpha)?;
    not_negative(OP, "beta", beta)?;
    let [n, classes] = *student.dims() else {
        return Err(Error::shape(OP, student.shape(), "[n, classes]"));
    };
    if classes < 3 {
        let expected = "at least 3: of two classes nothing is left beside the true one; use `kd`";
        return Err(Error::argument(OP, "classes", classes.to_string(), expected));
    }
    if labels.dims() != [n] {
        return Err(Error::shapes(OP, student.shape(), labels.shape(), "a label for each row"));
    }
    let mask = Tensor::<E>::one_hot(labels, classes)?;
    let at = labels.reshape([n, 1])?;
    let split = |z: &Tensor<E>| -> Result<(Tensor<E>, Tensor<E>)> {
        let z = z.mul_scalar(c(1.0 / temperature));
        let log_p = z.log_softmax(-1)?;
        let others = log_p.masked_fill(&mask, c(NOTHING))?.logsumexp([1], true)?;
        let binary = Tensor::cat(&[&log_p.gather(1, &at)?, &others], 1)?;
        Ok((binary, z.masked_fill(&mask, c(NOTHING))?.log_softmax(-1)?))
    };
    let (s_binary, s_others) = split(student)?;
    let (t_binary, t_others) = split(&teacher.detach())?;
    let target = loss::kl_div_log(&s_binary, &t_binary, Reduction::Mean)?;
    let others = loss::kl_div_log(&s_others, &t_others, Reduction::Mean)?;
    let both = target.mul_scalar(c(alpha)).add(&others.mul_scalar(c(beta)))?;
    Ok(both.mul_scalar(c(temperature * temperature)))
}
