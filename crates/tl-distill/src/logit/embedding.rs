//! Distillation of embeddings and of scores of pairs.

use crate::check::{c, logits, positive, same_shape, samples};
use crate::logit::kd;
use tl_nn::loss;
use tl_tensor::{Elem, Error, Reduction, Result, Tensor};

/// The mean squared difference of embeddings `[n, d]`, over all numbers
/// (Reimers and Gurevych 2020, eq. 1). A student of another width first needs a
/// projection, or a teacher whose embeddings were reduced by PCA.
///
/// # Errors
/// The shapes differ.
pub fn embedding_mse<E: Elem>(student: &Tensor<E>, teacher: &Tensor<E>) -> Result<Tensor<E>> {
    same_shape("embedding_mse", student, teacher)?;
    loss::mse(student, &teacher.detach(), Reduction::Mean)
}

/// `1 - cos(s, t)`, the mean over samples, of embeddings `[n, d]`: only the
/// direction counts.
///
/// # Errors
/// The shapes differ; no sample.
pub fn embedding_cosine<E: Elem>(student: &Tensor<E>, teacher: &Tensor<E>) -> Result<Tensor<E>> {
    same_shape("embedding_cosine", student, teacher)?;
    samples("embedding_cosine", student, teacher, 1)?;
    let cos = loss::cosine_similarity(student, &teacher.detach())?;
    Ok(cos.mean_all().affine(-E::ONE, E::ONE))
}

/// MarginMSE (Hofstätter et al. 2020, eq. 4): the mean squared difference of
/// margins, `((s⁺ - s⁻) - m_t)²`, where `m_t` is the teacher's margin
/// `t⁺ - t⁻`. All are `[n]`. The student's scores may have any scale: only
/// differences are matched.
///
/// # Errors
/// The shapes differ.
pub fn margin_mse<E: Elem>(
    positive: &Tensor<E>,
    negative: &Tensor<E>,
    teacher_margin: &Tensor<E>,
) -> Result<Tensor<E>> {
    same_shape("margin_mse", positive, negative)?;
    same_shape("margin_mse", positive, teacher_margin)?;
    loss::mse(&positive.sub(negative)?, &teacher_margin.detach(), Reduction::Mean)
}

/// [`kd`] of the scores of `k` candidates for each query, `[n, k]`, as in
/// training a retriever from a re-ranker; `T²` included.
///
/// # Errors
/// As [`kd`].
pub fn score_kl<E: Elem>(
    student: &Tensor<E>,
    teacher: &Tensor<E>,
    temperature: f64,
) -> Result<Tensor<E>> {
    kd(student, teacher, temperature)
}

/// Pairwise distillation (CompRess, Koohpayegani, Tejankar and Pirsiavash
/// 2020, eq. 2, with the batch in the place of a memory bank): each sample's
/// cosine similarities to all *others* of the batch, as a softmax at
/// temperature `T`, the student's against the teacher's, by
/// `(1/n) Σ KL(teacher ‖ student)`. No `T²`: here it sharpens cosines, usually
/// 0.04 to 0.1. Widths may differ: `[n, d]` and `[n, e]`.
///
/// # Errors
/// Other shapes; fewer than three samples; the temperature is not above 0.
pub fn similarity_kl<E: Elem>(
    student: &Tensor<E>,
    teacher: &Tensor<E>,
    temperature: f64,
) -> Result<Tensor<E>> {
    const OP: &str = "similarity_kl";
    let n = samples(OP, student, teacher, 3)?;
    positive(OP, "temperature", temperature)?;
    if student.rank() != 2 || teacher.rank() != 2 {
        let (s, t) = (student.shape(), teacher.shape());
        return Err(Error::shapes(OP, s, t, "embeddings [n, d] and [n, e]"));
    }
    let itself = Tensor::<E>::eye(n);
    let rows = |x: &Tensor<E>| -> Result<Tensor<E>> {
        let least = Tensor::scalar(c(1e-8));
        let unit = x.div(&x.norm([1], true)?.maximum(&least)?)?;
        let cos = unit.matmul(&unit.t()?)?.mul_scalar(c(1.0 / temperature));
        cos.masked_fill(&itself, c(-1e30))?.log_softmax(-1)
    };
    let target = rows(&teacher.detach())?;
    logits(OP, &target, &target)?;
    loss::kl_div_log(&rows(student)?, &target, Reduction::Mean)
}
