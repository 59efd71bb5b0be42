//! What every model of images can do.

use crate::{Preprocess, weights};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use tl_nn::{Ctx, Forward, Linear, Result, StateDict, Tensor};

/// A classifier of images whose part before the head is worth keeping.
/// `forward` is `[n, c, h, w]` to logits `[n, classes]`.
pub trait Backbone: Forward {
    /// What describes the architecture.
    type Config: Clone;

    /// A model with random weights.
    ///
    /// # Errors
    /// A configuration that makes no sense.
    fn new(config: &Self::Config, rng: &mut dyn RngCore) -> Result<Self>;

    /// The same configuration for another number of classes.
    fn with_classes(config: &Self::Config, classes: usize) -> Self::Config;

    /// The pooled embedding, `[n, c, h, w]` to `[n, feature_size]`: what the
    /// head gets in evaluation. It is also a tap named `features`.
    ///
    /// # Errors
    /// A shape that does not fit.
    fn features(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor>;

    /// The size of the embedding.
    fn feature_size(&self) -> usize;

    /// The path of the classifier, such as `fc`.
    fn head(&self) -> &'static str;

    /// The classifier.
    fn head_mut(&mut self) -> &mut Linear;

    /// What the home's weights expect of an image.
    fn preprocess(&self) -> Preprocess;

    /// Puts a new classifier of this many classes in the place of the old one.
    fn reset_head(&mut self, classes: usize, rng: &mut dyn RngCore) {
        *self.head_mut() = Linear::new(self.feature_size(), classes, rng);
    }

    /// A model with the weights of a safetensors file (or of the
    /// `.index.json` of several): see [`from_state_dict`](Self::from_state_dict).
    ///
    /// # Errors
    /// The file cannot be read or does not fit.
    fn from_safetensors(config: &Self::Config, path: impl AsRef<Path>) -> Result<Self> {
        Self::from_state_dict(config, &StateDict::open(path)?)
    }

    /// A model with these weights. The number of classes is that of the
    /// weights; weights without a head leave that of `config` with a new,
    /// random one (the same every time). Prefixes are handled as by
    /// [`load_pretrained`](crate::load_pretrained).
    ///
    /// # Errors
    /// The weights do not fit.
    fn from_state_dict(config: &Self::Config, dict: &StateDict) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut model = Self::new(config, &mut rng)?;
        let head = model.head();
        if let Some(classes) = weights::rows(&model, dict, &format!("{head}.weight")) {
            model = Self::new(&Self::with_classes(config, classes), &mut rng)?;
        }
        let report = weights::load_pretrained(&mut model, dict, Some(head))?;
        drop(report);
        Ok(model)
    }
}

/// Runs parts one after another under `0`, `1`, ..
pub(crate) fn run_all<M: Forward>(parts: &[M], x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
    let mut x = x.clone();
    for (i, part) in parts.iter().enumerate() {
        x = cx.within(&i.to_string(), |cx| part.forward(&x, cx))?;
    }
    Ok(x)
}
