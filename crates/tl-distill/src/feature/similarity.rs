//! Similarity-preserving distillation.

use super::{flat, unit};
use crate::check::{c, samples};
use tl_tensor::{Elem, Result, Tensor};

/// Similarity preserving (Tung and Mori 2019, eq. 4): which samples of a batch
/// resemble each other. With `G = F Fᵀ` of the flattened features, its rows
/// divided by their norms, `‖G_s - G_t‖² / n²`. Shapes after the first axis may
/// differ. Weight 3000 in libraries.
///
/// # Errors
/// Not features of the same samples, at least two.
pub fn similarity_preserving<E: Elem>(s: &Tensor<E>, t: &Tensor<E>) -> Result<Tensor<E>> {
    let n = samples("similarity_preserving", s, t, 2)? as f64;
    let gram = |f: &Tensor<E>| -> Result<Tensor<E>> {
        let f = flat(f)?;
        unit(&f.matmul(&f.t()?)?, 1)
    };
    let difference = gram(s)?.sub(&gram(&t.detach())?)?;
    Ok(difference.square().sum_all().mul_scalar(c(1.0 / (n * n))))
}
