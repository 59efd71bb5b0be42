//! DELTA: activations near those of the source model.

use crate::{Error, Result};
use tl_data::Dataset;
use tl_nn::{CrossEntropy, Ctx, Forward, ModuleExt, Tensor};

/// DELTA (Li et al. 2019, eq. 4): `½ Σ_layers Σ_channels w_c ‖FM_c(x) − FM⁰_c(x)‖²`,
/// the mean over samples, of the maps of the model and of the one it came from.
/// Maps are `[n, c, ..]`; the weights of a layer sum to its channels, so that all
/// equal is 1 each. As in the authors' code a channel's distance is the mean over
/// its places.
#[derive(Clone, Debug)]
pub struct Delta<M: Forward> {
    source: M,
    layers: Vec<(String, Option<Tensor>)>,
}

impl<M: Forward> Delta<M> {
    /// Holds these taps of a model as they are now; `weights` `[c]` for each layer,
    /// or none for equal ones.
    ///
    /// # Errors
    /// No layer.
    pub fn new(source: &M, layers: Vec<(String, Option<Tensor>)>) -> Result<Self> {
        if layers.is_empty() {
            return Err(Error::argument("DELTA", "layers", "none", "at least one tap"));
        }
        let mut source = source.clone();
        let _ = source.freeze("**")?;
        Ok(Self { source, layers })
    }

    /// The taps that are held.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|(layer, _)| layer.as_str())
    }

    /// A context with these taps.
    ///
    /// # Errors
    /// A layer that is no valid pattern.
    pub fn captured(&self, mut cx: Ctx) -> tl_nn::Result<Ctx> {
        for layer in self.layers() {
            cx.capture_more(layer)?;
        }
        Ok(cx)
    }

    /// The penalty for inputs `x` whose pass through the model is in `cx`, made by
    /// [`captured`](Self::captured).
    ///
    /// # Errors
    /// A layer that the model does not name; other shapes.
    pub fn penalty(&self, x: &Tensor, cx: &Ctx) -> tl_nn::Result<Tensor> {
        let mut before = self.captured(Ctx::eval())?;
        self.source.forward(x, &mut before)?;
        let mut sum = Tensor::scalar(0.0);
        for (layer, weights) in &self.layers {
            let (Some(now), Some(then)) = (cx.tapped(layer), before.tapped(layer)) else {
                let expected = "a tap of the model";
                return Err(tl_nn::Error::argument("DELTA", "layer", layer, expected));
            };
            let gap = now.sub(&then.detach())?.square();
            let gap = if gap.rank() > 2 { gap.flatten(2, -1)?.mean(2, false)? } else { gap };
            let gap = match weights {
                Some(weights) => gap.mul(weights)?,
                None => gap,
            };
            sum = sum.add(&gap.sum(-1, false)?.mean_all().mul_scalar(0.5))?;
        }
        Ok(sum)
    }
}

/// The importance of each output channel of a layer (Li et al. 2019, eq. 6): how
/// much the loss rises when its filter is set to zero, as a softmax, times the
/// number of channels. `weight` is the path of the layer's weight, `[c, ..]`; the
/// model needs a head for the data already.
///
/// # Errors
/// A path that the model does not have; a set without classes.
pub fn channel_importance<M: Forward>(model: &M, data: &Dataset, weight: &str) -> Result<Tensor> {
    let labels = data.labels()?.into();
    let loss = |model: &M| -> Result<f32> {
        let logits = model.forward(data.features(), &mut Ctx::eval())?.detach();
        Ok(CrossEntropy::new().loss(&logits, &labels)?.item()?)
    };
    let Some((_, param)) = model.params().into_iter().find(|(path, _)| path == weight) else {
        return Err(Error::argument("DELTA", "weight", weight, "the path of a parameter"));
    };
    let (channels, original) =
        (param.dims().first().copied().unwrap_or(0), param.tensor().to_vec());
    let size = original.len() / channels.max(1);
    let (base, mut copy) = (loss(model)?, model.clone());
    let mut rises = Vec::with_capacity(channels);
    for channel in 0..channels {
        let range = channel * size..(channel + 1) * size;
        fill(&mut copy, weight, range.clone(), &vec![0.0; size])?;
        rises.push(loss(&copy)? - base);
        fill(&mut copy, weight, range.clone(), &original[range])?;
    }
    Ok(Tensor::from_vec(rises, [channels])?.softmax(-1)?.mul_scalar(channels as f32))
}

fn fill<M: Forward>(
    model: &mut M,
    weight: &str,
    range: std::ops::Range<usize>,
    numbers: &[f32],
) -> tl_nn::Result<()> {
    model.for_each_param(|path, param| {
        if path == weight {
            param.update(|x| x[range.clone()].copy_from_slice(numbers));
        }
        Ok(())
    })
}
