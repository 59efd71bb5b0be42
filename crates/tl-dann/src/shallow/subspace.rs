//! Subspace alignment.

use super::pair;
use crate::Result;
use tl_nn::{Tensor, shallow::Pca};

/// Subspace alignment (Fernando et al. 2013, eq. 4): the first `k` principal
/// directions of each domain, those of the source turned to those of the target.
/// Returns source and target features of length `k`.
///
/// # Errors
/// Features that do not fit; `k` above what a domain has.
pub fn align_subspaces(source: &Tensor, target: &Tensor, k: usize) -> Result<(Tensor, Tensor)> {
    pair("subspace alignment", source, target)?;
    let (ps, pt) = (Pca::fit(source, k)?, Pca::fit(target, k)?);
    let turn = ps.components.matmul(&pt.components.t()?)?;
    Ok((ps.transform(source)?.matmul(&turn)?, pt.transform(target)?))
}
