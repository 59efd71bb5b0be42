//! Pixels of hidden patches.

use crate::{Error, Result, patchify};
use tl_tensor::{Elem, Tensor};

/// The masked autoencoder's loss (He et al. 2022; `forward_loss` of the authors'
/// code): the mean squared error of each patch, a mean over the hidden ones.
/// `predicted` `[n, l, patch² c]` in the order of [`patchify`], pictures `x`
/// `[n, c, h, w]`, `mask` `[n, l]` with 1 where hidden. With `standardise` the
/// target is each patch to mean 0 and deviation 1 (unbiased variance, plus 1e-6).
///
/// # Errors
/// Shapes that do not fit; nothing hidden.
pub fn mae_loss<E: Elem>(
    predicted: &Tensor<E>,
    x: &Tensor<E>,
    mask: &Tensor<E>,
    patch: usize,
    standardise: bool,
) -> Result<Tensor<E>> {
    let mut target = patchify(x, patch)?;
    if predicted.dims() != target.dims() || mask.dims() != &target.dims()[..2] {
        let got = format!("{:?}, mask {:?}", predicted.dims(), mask.dims());
        let expected = format!("{:?} and a mask of its first two sizes", target.dims());
        return Err(Error::argument("mae", "predicted", got, expected));
    }
    let hidden = mask.sum_all().item()?;
    if hidden.to_f64() <= 0.0 {
        return Err(Error::argument("mae", "mask", "all 0", "one hidden patch or more"));
    }
    if standardise {
        let centred = target.sub(&target.mean(-1, true)?)?;
        let rest = (target.dims()[2] as f64 - 1.0).max(1.0);
        let variance = centred.square().sum(-1, true)?.mul_scalar(E::from_f64(1.0 / rest));
        target = centred.mul(&variance.add_scalar(E::from_f64(1e-6)).rsqrt())?;
    }
    let each = predicted.sub(&target)?.square().mean(-1, false)?;
    Ok(each.mul(mask)?.sum_all().mul_scalar(E::ONE / hidden))
}
