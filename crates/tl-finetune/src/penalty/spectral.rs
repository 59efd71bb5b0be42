//! Batch spectral shrinkage.

use crate::Result;
use tl_nn::{Tensor, shallow::Svd};

/// Batch spectral shrinkage (Chen et al. 2019, eq. 5): the sum of the squares of
/// the `k` *smallest* singular values of a batch of features, whose directions
/// transfer badly. Usual: `k` 1, weight 1e-3.
///
/// # Errors
/// Features that are no finite matrix; `k` of 0 or above the rank.
pub fn spectral_shrinkage(features: &Tensor, k: usize) -> Result<Tensor> {
    let svd = Svd::of(&features.detach())?;
    let all = svd.s.numel();
    if k == 0 || k > all {
        return Err(crate::Error::argument("spectral shrinkage", "k", k, format!("1 to {all}")));
    }
    let u = svd.u.narrow(1, all - k, k)?;
    let v = svd.vt.narrow(0, all - k, k)?.t()?;
    Ok(u.mul(&features.matmul(&v)?)?.sum(0, false)?.square().sum_all())
}
