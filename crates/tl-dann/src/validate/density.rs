//! Soft neighbourhood density.

use crate::Result;
use tl_nn::Tensor;

pub(super) fn score(logits: &Tensor) -> Result<f64> {
    // The similarity matrix is quadratic: 2,000 samples, evenly spread, are enough.
    let all = logits.size(0)?;
    let some = logits.slice(0, 0, all, all.div_ceil(2000).max(1))?;
    let (n, p) = (some.size(0)?, some.softmax(-1)?);
    let unit = p.mul(&p.square().sum(-1, true)?.rsqrt())?;
    let similar = unit.matmul(&unit.t()?)?.mul_scalar(1.0 / 0.05);
    let others = similar.masked_fill(&Tensor::eye(n), -1e30)?;
    Ok(f64::from(crate::entropy(&others)?.item()?))
}
