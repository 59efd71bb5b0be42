//! Bottleneck adapters.

use super::site::Site;
use crate::{Error, Result};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use tl_nn::{Param, Tensor, init};
use tl_tensor::Activation;

/// Bottleneck adapters (Houlsby et al. 2019, figure 2): the output `y` of a layer
/// becomes `y + up(relu(down(y)))`, which begins near `y`. On the outputs of both
/// sub-layers of a transformer, as there, or of the feed-forward one only
/// (Pfeiffer et al. 2021): that is the choice of the targets.
///
/// They cannot be merged into the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BottleneckConfig {
    /// The width of the bottleneck. Default 16.
    pub width: usize,
    /// The modules (affine ones) whose output is adapted: see
    /// [`attach`](super::attach).
    pub targets: Vec<String>,
    /// Modules that are trained whole, such as a new head.
    #[serde(default)]
    pub train: Vec<String>,
}

impl BottleneckConfig {
    /// A width of 16 for these modules.
    pub fn new<S: Into<String>>(targets: impl IntoIterator<Item = S>) -> Self {
        let targets = targets.into_iter().map(Into::into).collect();
        Self { width: 16, targets, train: Vec::new() }
    }

    /// Also trains these modules, whole.
    #[must_use]
    pub fn train<S: Into<String>>(mut self, modules: impl IntoIterator<Item = S>) -> Self {
        self.train = modules.into_iter().map(Into::into).collect();
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.width == 0 {
            return Err(Error::argument("bottleneck", "width", 0, "at least 1"));
        }
        Ok(())
    }
}

/// One adapter.
#[derive(Clone, Debug)]
pub(super) struct BottleneckLayer {
    /// `[width, out]`.
    pub(super) down: Param,
    /// `[width]`.
    pub(super) down_bias: Param,
    /// `[out, width]`.
    pub(super) up: Param,
    /// `[out]`.
    pub(super) up_bias: Param,
}

impl BottleneckLayer {
    pub(super) fn new(width: usize, w: &Tensor, rng: &mut dyn RngCore) -> Self {
        let out = w.dims()[0];
        let bound = 1.0 / (out.max(1) as f32).sqrt();
        Self {
            down: Param::new(init::uniform([width, out], -bound, bound, rng)),
            down_bias: Param::new(Tensor::zeros(width)),
            // Near zero, not zero: as the authors have it.
            up: Param::new(init::normal([out, width], 0.0, 1e-3, rng)),
            up_bias: Param::new(Tensor::zeros(out)),
        }
    }

    /// `up(relu(down(y)))`.
    pub(super) fn delta(&self, site: Site<'_>, y: &Tensor) -> Result<Tensor> {
        let Site::Linear = site else { return Err(no_weight()) };
        let hidden =
            y.linear_act(self.down.tensor(), Some(self.down_bias.tensor()), Activation::Relu)?;
        Ok(hidden.linear(self.up.tensor(), Some(self.up_bias.tensor()))?)
    }
}

/// Asked for as a change of a weight.
pub(super) fn no_weight() -> Error {
    let expected = "an affine layer that runs it; it is no change of a weight and cannot be merged";
    Error::argument("bottleneck", "adapter", "used as a weight", expected)
}
