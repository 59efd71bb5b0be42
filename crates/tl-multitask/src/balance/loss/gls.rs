//! The geometric loss.

use super::{There, sum};
use crate::Result;
use tl_nn::Tensor;

/// `exp(mean ln L)` (Chennupati et al. 2019, eq. 2). The product itself is never
/// formed: that of many losses overflows.
pub(super) fn loss(there: &There<'_>) -> Result<(Tensor, Vec<f32>)> {
    let n = there.len() as f32;
    let mean = sum(&there.logarithms()?)?.mul_scalar(1.0 / n).exp();
    let value = mean.item().map_err(tl_nn::Error::from)?;
    Ok((mean, there.values.iter().map(|v| value / (n * v)).collect()))
}
