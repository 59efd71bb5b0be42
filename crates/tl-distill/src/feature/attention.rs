//! Attention transfer.

use super::{flat, one_size, unit};
use crate::check::maps;
use tl_nn::loss;
use tl_tensor::{Elem, Reduction, Result, Tensor};

/// Attention transfer (Zagoruyko and Komodakis 2017, eq. 2): where a layer
/// looks. With `q = flat(mean_c f²)`, divided by its norm,
/// `mean (q_s - q_t)²` over samples and places.
///
/// This is the convention of the authors' code (mean of squares over channels,
/// squared difference), with weight 1000 in libraries; the paper's formula has
/// the channels' sum, which the norm cancels, and an unsquared norm of the
/// difference. Maps `[n, c, h, w]`; the numbers of channels may differ.
///
/// # Errors
/// Not two maps of the same samples.
pub fn attention<E: Elem>(student: &Tensor<E>, teacher: &Tensor<E>) -> Result<Tensor<E>> {
    maps("attention", student, teacher)?;
    let (s, t) = one_size(student, &teacher.detach())?;
    let map = |f: &Tensor<E>| unit(&flat(&f.square().mean([1], false)?)?, 1);
    loss::mse(&map(&s)?, &map(&t)?, Reduction::Mean)
}
