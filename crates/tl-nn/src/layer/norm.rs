//! Normalisation of each sample by itself.

use crate::{Ctx, Forward, Param, Result, module};
use tl_tensor::Tensor;

/// Layer normalisation over the last axes; see
/// [`Tensor::layer_norm`]. Default eps 1e-5.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// Scale, of the normalised shape, beginning at 1.
    pub weight: Param,
    /// Shift, of the normalised shape, beginning at 0.
    pub bias: Param,
    /// Added to the variance.
    pub eps: f64,
}
module!(LayerNorm { weight, bias; skip eps });

impl LayerNorm {
    /// A layer over the last axis, of this size.
    pub fn new(size: usize) -> Self {
        let (weight, bias) = (Tensor::ones(size), Tensor::zeros(size));
        Self { weight: Param::new(weight), bias: Param::new(bias), eps: 1e-5 }
    }

    /// Sets what is added to the variance.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }
}

impl Forward for LayerNorm {
    fn forward(&self, x: &Tensor, _: &mut Ctx) -> Result<Tensor> {
        let (weight, bias) = (self.weight.adapted()?, self.bias.adapted()?);
        Ok(x.layer_norm(weight.dims(), Some(&weight), Some(&bias), self.eps)?)
    }
}

/// Group normalisation of `[n, c, ..]`; see [`Tensor::group_norm`]. Default eps 1e-5.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    /// Scale `[c]`, beginning at 1.
    pub weight: Param,
    /// Shift `[c]`, beginning at 0.
    pub bias: Param,
    /// Groups of channels.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
}
module!(GroupNorm { weight, bias; skip groups, eps });

impl GroupNorm {
    /// A layer for this many channels in this many groups.
    pub fn new(groups: usize, channels: usize) -> Self {
        let (weight, bias) = (Tensor::ones(channels), Tensor::zeros(channels));
        Self { weight: Param::new(weight), bias: Param::new(bias), groups, eps: 1e-5 }
    }
}

impl Forward for GroupNorm {
    fn forward(&self, x: &Tensor, _: &mut Ctx) -> Result<Tensor> {
        let (weight, bias) = (self.weight.adapted()?, self.bias.adapted()?);
        Ok(x.group_norm(self.groups, Some(&weight), Some(&bias), self.eps)?)
    }
}

/// Instance normalisation of images: each channel of each sample by itself.
/// PyTorch's default has no scale and shift and no running statistics.
#[derive(Clone, Debug)]
pub struct InstanceNorm2d {
    /// Scale `[c]`.
    pub weight: Option<Param>,
    /// Shift `[c]`.
    pub bias: Option<Param>,
    /// Added to the variance.
    pub eps: f64,
}
module!(InstanceNorm2d { weight, bias; skip eps });

impl InstanceNorm2d {
    /// A layer without scale and shift.
    pub fn new() -> Self {
        Self { weight: None, bias: None, eps: 1e-5 }
    }

    /// A layer with scale (1) and shift (0) for this many channels.
    pub fn affine(channels: usize) -> Self {
        Self {
            weight: Some(Param::new(Tensor::ones(channels))),
            bias: Some(Param::new(Tensor::zeros(channels))),
            eps: 1e-5,
        }
    }
}

impl Default for InstanceNorm2d {
    fn default() -> Self {
        Self::new()
    }
}

impl Forward for InstanceNorm2d {
    fn forward(&self, x: &Tensor, _: &mut Ctx) -> Result<Tensor> {
        let adapted = |p: &Option<Param>| -> Result<Option<Tensor>> {
            p.as_ref().map(|p| Ok(p.adapted()?.into_owned())).transpose()
        };
        let (weight, bias) = (adapted(&self.weight)?, adapted(&self.bias)?);
        Ok(x.group_norm(x.size(1)?, weight.as_ref(), bias.as_ref(), self.eps)?)
    }
}
