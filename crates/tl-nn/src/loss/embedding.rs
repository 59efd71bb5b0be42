//! Losses of embeddings.

use super::{at_least, same_shape};
use tl_tensor::{Elem, Error, Reduction, Result, Tensor};

/// `x · y / (max(‖x‖, 1e-8) max(‖y‖, 1e-8))` over the last axis.
///
/// # Errors
/// The shapes do not broadcast.
pub fn cosine_similarity<E: Elem>(x: &Tensor<E>, y: &Tensor<E>) -> Result<Tensor<E>> {
    let least = Tensor::scalar(E::from_f64(1e-8));
    let size = |v: &Tensor<E>| v.norm(-1, false)?.maximum(&least);
    x.mul(y)?.sum(-1, false)?.div(&size(x)?)?.div(&size(y)?)
}

/// `‖x - y + 1e-6‖₂` over the last axis: PyTorch's `pairwise_distance`, whose
/// small shift keeps the gradient finite where the two are equal.
///
/// # Errors
/// The shapes do not broadcast.
pub fn pairwise_distance<E: Elem>(x: &Tensor<E>, y: &Tensor<E>) -> Result<Tensor<E>> {
    x.sub(y)?.add_scalar(E::from_f64(1e-6)).norm(-1, false)
}

/// Pulls pairs of label 1 together and pushes pairs of label -1 apart:
/// `1 - cos(x, y)` or `max(0, cos(x, y) - margin)`. Embeddings `[n, d]`, labels
/// `[n]`; PyTorch's default margin is 0.
///
/// # Errors
/// The shapes do not fit; a label is neither 1 nor -1; the margin is not from
/// -1 to 1.
pub fn cosine_embedding<E: Elem>(
    x: &Tensor<E>,
    y: &Tensor<E>,
    labels: &Tensor<E>,
    margin: f64,
    reduction: Reduction,
) -> Result<Tensor<E>> {
    const OP: &str = "cosine_embedding";
    same_shape(OP, x, y)?;
    if x.rank() != 2 || labels.dims() != [x.dims()[0]] {
        return Err(Error::shapes(
            OP,
            x.shape(),
            labels.shape(),
            "embeddings [n, d] and labels [n]",
        ));
    }
    if !(-1.0..=1.0).contains(&margin) {
        return Err(Error::argument(OP, "margin", margin.to_string(), "a number from -1 to 1"));
    }
    if let Some(bad) = labels.to_vec().into_iter().find(|&l| l != E::ONE && l != -E::ONE) {
        return Err(Error::argument(OP, "labels", format!("{bad:?}"), "1 or -1"));
    }
    let cos = cosine_similarity(x, y)?;
    let apart = cos.add_scalar(E::from_f64(-margin)).relu();
    let losses =
        Tensor::where_cond(&labels.gt_scalar(E::ZERO), &cos.affine(-E::ONE, E::ONE), &apart)?;
    Ok(reduction.apply(&losses))
}

/// `max(0, d(a, p) - d(a, n) + margin)` with the Euclidean
/// [`pairwise_distance`] (Schroff et al. 2015, eq. 2, there with squares).
/// Anchor, positive and negative are `[n, d]`; PyTorch's default margin is 1.
///
/// # Errors
/// The shapes differ; the margin is negative.
pub fn triplet<E: Elem>(
    anchor: &Tensor<E>,
    positive: &Tensor<E>,
    negative: &Tensor<E>,
    margin: f64,
    reduction: Reduction,
) -> Result<Tensor<E>> {
    same_shape("triplet", anchor, positive)?;
    same_shape("triplet", anchor, negative)?;
    at_least("triplet", "margin", margin, 0.0)?;
    let near = pairwise_distance(anchor, positive)?;
    let far = pairwise_distance(anchor, negative)?;
    Ok(reduction.apply(&near.sub(&far)?.add_scalar(E::from_f64(margin)).relu()))
}
