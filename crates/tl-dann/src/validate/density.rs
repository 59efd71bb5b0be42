//! Soft neighbourhood density.

use crate::Result;
use tl_nn::Tensor;

pub(super) fn score(logits: &Tensor) -> Result<f64> {
    // The similarity matrix is quadratic: 2,000 samples are enough.
    let n = logits.size(0)?.min(2000);
    let p = logits.narrow(0, 0, n)?.softmax(-1)?;
    let unit = p.mul(&p.square().sum(-1, true)?.rsqrt())?;
    let similar = unit.matmul(&unit.t()?)?.mul_scalar(1.0 / 0.05);
    let others = similar.masked_fill(&Tensor::eye(n), -1e30)?;
    Ok(f64::from(crate::entropy(&others)?.item()?))
}
