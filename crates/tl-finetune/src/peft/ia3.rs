//! IA3: learned gains.

use super::site::Site;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tl_nn::{Param, Tensor};

/// IA3 (Liu et al. 2022, section 3.3): learned vectors, beginning at 1, multiply
/// the output of a layer (keys and values), or the input of a feed-forward one:
/// so the hidden activations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ia3Config {
    /// The modules that get a vector: see [`attach`](super::attach).
    pub targets: Vec<String>,
    /// Those among them whose *input* is multiplied.
    #[serde(default)]
    pub feed_forward: Vec<String>,
    /// Modules that are trained whole, such as a new head.
    #[serde(default)]
    pub train: Vec<String>,
}

impl Ia3Config {
    /// Vectors for the outputs of `targets` and the inputs of `feed_forward`.
    pub fn new<S: Into<String>>(
        targets: impl IntoIterator<Item = S>,
        feed_forward: impl IntoIterator<Item = S>,
    ) -> Self {
        let feed_forward: Vec<String> = feed_forward.into_iter().map(Into::into).collect();
        let mut targets: Vec<String> = targets.into_iter().map(Into::into).collect();
        targets.extend(
            feed_forward.iter().filter(|f| !targets.contains(f)).cloned().collect::<Vec<_>>(),
        );
        Self { targets, feed_forward, train: Vec::new() }
    }

    /// Also trains these modules, whole.
    #[must_use]
    pub fn train<S: Into<String>>(mut self, modules: impl IntoIterator<Item = S>) -> Self {
        self.train = modules.into_iter().map(Into::into).collect();
        self
    }
}

/// The vector of one layer.
#[derive(Clone, Debug)]
pub(super) struct Ia3Layer {
    /// `[in]` or `[out]`.
    pub(super) gain: Param,
    /// Whether it multiplies the input.
    pub(super) input: bool,
}

impl Ia3Layer {
    pub(super) fn new(w: &Tensor, input: bool) -> Self {
        let size = w.dims()[usize::from(input)];
        Self { gain: Param::new(Tensor::ones(size)), input }
    }

    /// `x ⊙ l`, `l` moved a part of the way from 1.
    pub(super) fn scale(&self, site: Site<'_>, x: &Tensor, part: f32) -> Result<Tensor> {
        Ok(x.mul(&site.channels(&self.moved(part))?)?)
    }

    pub(super) fn moved(&self, part: f32) -> Tensor {
        if part == 1.0 {
            return self.gain.tensor().clone();
        }
        self.gain.tensor().mul_scalar(part).add_scalar(1.0 - part)
    }

    /// The weight `[out, in, ..]` with its rows or columns multiplied.
    pub(super) fn weight(&self, w: &Tensor, part: f32) -> Result<Tensor> {
        let mut shape = vec![1; w.rank()];
        shape[usize::from(self.input)] = self.gain.numel();
        Ok(w.mul(&self.moved(part).reshape(tl_nn::Shape::new(&shape)?)?)?)
    }
}

pub(super) fn refuse_groups(path: &str) -> Error {
    let expected = "a convolution in one group, or `targets` without it";
    Error::argument("IA3", "targets", format!("`{path}`, whose convolution is in groups"), expected)
}
