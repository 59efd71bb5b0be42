//! TENT: adaptation while predicting.

use super::ada_bn::normalised;
use crate::{Error, Result, entropy};
use serde::{Deserialize, Serialize};
use tl_nn::{Adam, Ctx, Forward, ModuleExt, NormStats, Optimizer, StateDict, Tensor};

/// TENT (Wang et al. 2021): while it predicts, the model adapts itself to the
/// batch: one step of Adam that lowers the entropy of its predictions, on scale
/// and shift of batch normalisation alone, with the statistics of the batch.
/// The predictions are those of the pass before the step, as in the paper; where
/// every batch begins anew ([`TentSettings::episodic`]) those of a pass after it,
/// since no later batch would see the step.
///
/// Predictions that are nearly all of one class mean collapse: then the model is
/// put back to how it was, and [`resets`](Self::resets) counts it.
#[derive(Debug)]
pub struct Tent<M> {
    model: M,
    source: StateDict,
    optimizer: Optimizer,
    fresh: Optimizer,
    settings: TentSettings,
    resets: usize,
    batches: usize,
}

/// How [`Tent`] adapts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TentSettings {
    /// The rate. Default 1e-3.
    pub lr: f32,
    /// Whether every batch begins with the source model. Default: no.
    pub episodic: bool,
    /// The part of a batch with the same class above which it counts as
    /// collapsed; 1 or more for never. Default 0.95; only looked at in batches
    /// of 8 or more.
    pub collapse: f64,
    /// Batches after which a stream is put back to the source model (Press et al.
    /// 2023 show that long streams need it); none for never, the default.
    #[serde(default)]
    pub reset_every: Option<usize>,
}

impl Default for TentSettings {
    fn default() -> Self {
        Self { lr: 1e-3, episodic: false, collapse: 0.95, reset_every: None }
    }
}

impl<M: Forward> Tent<M> {
    /// Adapts this model. All but scale and shift of batch normalisation is
    /// frozen.
    ///
    /// # Errors
    /// A model without batch normalisation that has scale and shift; a rate or a
    /// part that is not above 0; a reset every 0 batches.
    pub fn new(mut model: M, settings: TentSettings) -> Result<Self> {
        let TentSettings { lr, collapse, reset_every, .. } = settings;
        if !(lr.is_finite() && lr > 0.0 && collapse > 0.0) || reset_every == Some(0) {
            let expected = "a rate and a part above 0, and a reset after 1 batch or more, or none";
            return Err(Error::argument("tent", "settings", format!("{settings:?}"), expected));
        }
        let layers = normalised(&model);
        let mut kept = 0;
        model.for_each_param(|path, param| {
            let own = |l: &String| {
                path.strip_prefix(l.as_str()).is_some_and(|p| p == "weight" || p == "bias")
            };
            let norm = layers.iter().any(own);
            param.set_frozen(!norm);
            kept += usize::from(norm);
            Ok(())
        })?;
        if kept == 0 {
            let expected = "batch normalisation with scale and shift, not frozen";
            return Err(Error::argument("tent", "model", "without any", expected));
        }
        let fresh = Optimizer::new(Adam::new(settings.lr));
        let source = model.state_dict();
        Ok(Self { model, source, optimizer: fresh.clone(), fresh, settings, resets: 0, batches: 0 })
    }

    /// Logits for a batch, then one step of adaptation. A batch of one sample is
    /// predicted with the running statistics, without a step.
    ///
    /// # Errors
    /// Those of the model.
    pub fn predict(&mut self, x: &Tensor) -> Result<Tensor> {
        if x.dims().first().is_none_or(|n| *n < 2) {
            return Ok(self.model.forward(x, &mut Ctx::eval())?.detach());
        }
        let due = |every: usize| self.batches.is_multiple_of(every);
        if self.settings.episodic || self.settings.reset_every.is_some_and(due) {
            self.reset()?;
        }
        self.batches += 1;
        let pass = |model: &M| model.forward(x, &mut Ctx::eval().with_norm_stats(NormStats::Batch));
        let logits = pass(&self.model)?;
        let gradients = entropy(&logits)?.backward()?;
        let _ = self.optimizer.step(&mut self.model, &gradients)?;
        if self.settings.episodic {
            return Ok(pass(&self.model)?.detach());
        }
        let logits = logits.detach();
        if self.collapsed(&logits)? {
            self.reset()?;
            self.resets += 1;
        }
        Ok(logits)
    }

    fn collapsed(&self, logits: &Tensor) -> Result<bool> {
        let classes = tl_nn::metric::predictions(logits)?;
        if classes.len() < 8 {
            return Ok(false);
        }
        let count = |c: usize| classes.iter().filter(|x| **x == c).count();
        let most = (0..logits.size(1)?).map(count).max().unwrap_or(0);
        Ok(most as f64 > self.settings.collapse * classes.len() as f64)
    }

    /// Puts the model back to how it was.
    ///
    /// # Errors
    /// None that a valid model can cause.
    pub fn reset(&mut self) -> Result<()> {
        let _ = self.model.load(&self.source, &tl_nn::Load::strict())?;
        self.optimizer = self.fresh.clone();
        Ok(())
    }

    /// How often it was put back because it had collapsed.
    pub fn resets(&self) -> usize {
        self.resets
    }

    /// The model as it is now.
    pub fn model(&self) -> &M {
        &self.model
    }
}
