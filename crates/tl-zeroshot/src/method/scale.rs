//! Features brought to one scale by the seen classes.

use crate::Result;
use tl_nn::Tensor;

/// `(x - mean) / deviation` of every feature; one that never changes becomes 0.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    mean: Tensor,
    factor: Tensor,
}

impl Scale {
    /// Of features `[n, d]`.
    pub(crate) fn of(features: &Tensor) -> Result<Self> {
        let mean = features.mean(0, true)?;
        let deviation = features.sub(&mean)?.square().mean(0, true)?.sqrt();
        let factor = deviation.map_constant(|s| if s > 1e-6 { 1.0 / s } else { 0.0 });
        Ok(Self { mean, factor })
    }

    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.sub(&self.mean)?.mul(&self.factor)?)
    }
}

/// `(x - least) / (largest - least)` of every feature; one that never changes
/// becomes 0.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    least: Tensor,
    factor: Tensor,
}

impl Range {
    /// Of features `[n, d]`.
    pub(crate) fn of(features: &Tensor) -> Result<Self> {
        let least = features.min(0, true)?;
        let width = features.max(0, true)?.sub(&least)?;
        let factor = width.map_constant(|w| if w > 1e-6 { 1.0 / w } else { 0.0 });
        Ok(Self { least, factor })
    }

    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.sub(&self.least)?.mul(&self.factor)?)
    }
}
