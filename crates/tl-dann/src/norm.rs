//! Normalisation that belongs to a domain.

use crate::{Error, Result, entropy};
use serde::{Deserialize, Serialize};
use tl_data::{Batching, Dataset};
use tl_nn::{
    Adam, BatchNorm, Buffer, Ctx, Forward, Module, ModuleExt, NormStats, Optimizer, StateDict,
    Tensor, module,
};

/// The paths of layers with running statistics.
fn normalised<M: Module>(model: &M) -> Vec<String> {
    let paths = model.buffers().into_iter().filter(|(_, b)| !b.is_frozen());
    paths.filter_map(|(p, _)| p.strip_suffix("running_mean").map(str::to_owned)).collect()
}

fn is_statistic(path: &str) -> bool {
    path.ends_with("running_mean") || path.ends_with("running_var")
}

/// Sets all running statistics that are not frozen.
fn set<M: Module>(model: &mut M, value: impl Fn(usize, &Tensor) -> Tensor) -> Result<()> {
    let mut at = 0;
    model.for_each_buffer(|path, buffer: &mut Buffer| {
        let i = at;
        at += 1;
        if is_statistic(path) && !buffer.is_frozen() {
            buffer.set_data(&value(i, buffer.tensor()))?;
        }
        Ok(())
    })?;
    Ok(())
}

fn values<M: Module>(model: &M) -> Vec<Tensor> {
    model.buffers().into_iter().map(|(_, b)| b.tensor().clone()).collect()
}

/// AdaBN (Li et al. 2018): replaces the running statistics of batch
/// normalisation by those of the target, with one pass over unlabelled samples:
/// the mean over batches of their means and unbiased variances. Weights stay.
/// Returns how many layers changed. Batches of one sample are left out.
///
/// # Errors
/// No layer with running statistics that are not frozen; no batch of two
/// samples; those of the model, which then is as before.
pub fn adapt_batch_norm<M: Forward>(
    model: &mut M,
    target: &Dataset,
    batch: usize,
) -> Result<usize> {
    let layers = normalised(model).len();
    if layers == 0 {
        let expected = "a model with batch normalisation that is not frozen";
        return Err(Error::argument("adapt_batch_norm", "model", "without any", expected));
    }
    let before = model.state_dict();
    let result = mean_statistics(model, target, batch);
    if result.is_err() {
        let _ = model.load(&before, &tl_nn::Load::strict())?;
    }
    result.map(|()| layers)
}

fn mean_statistics<M: Forward>(model: &mut M, target: &Dataset, batch: usize) -> Result<()> {
    let before = values(model);
    let loader = target.batches(Batching::new(batch).shuffled(0))?;
    // A layer moves its statistics r to (1 - m) r + m b for a batch's b. What it
    // makes of 0 is m b; what it makes of 1 tells m.
    let (mut sums, mut momenta): (Option<Vec<Tensor>>, Option<Vec<Tensor>>) = (None, None);
    let mut count = 0.0_f32;
    let after = |model: &mut M, x: &Tensor, start: f32| -> Result<Vec<Tensor>> {
        set(model, |_, old| Tensor::full(*old.shape(), start))?;
        let mut cx = Ctx::train(0);
        model.forward(x, &mut cx)?;
        model.apply(cx.take_updates())?;
        Ok(values(model))
    };
    for part in loader.epoch(0) {
        let x = part?.features.detach();
        if x.size(0)? < 2 {
            continue;
        }
        let from_zero = after(model, &x, 0.0)?;
        if momenta.is_none() {
            let from_one = after(model, &x, 1.0)?;
            let m = |(z, o): (&Tensor, &Tensor)| Ok(z.sub(o)?.add_scalar(1.0));
            momenta = Some(from_zero.iter().zip(&from_one).map(m).collect::<Result<_>>()?);
        }
        count += 1.0;
        sums = Some(match sums.take() {
            None => from_zero,
            Some(old) => {
                let add = |(a, b): (&Tensor, &Tensor)| Ok(a.add(b)?);
                old.iter().zip(&from_zero).map(add).collect::<Result<_>>()?
            }
        });
    }
    let (Some(sums), Some(momenta)) = (sums, momenta) else {
        let got = format!("{} samples in batches of {batch}", target.len());
        return Err(Error::argument("adapt_batch_norm", "target", got, "a batch of two samples"));
    };
    let mut means = before;
    for (mean, (sum, m)) in means.iter_mut().zip(sums.iter().zip(&momenta)) {
        if m.is_finite() && m.to_vec().iter().all(|m| *m > 1e-6) {
            *mean = sum.div(m)?.mul_scalar(1.0 / count);
        }
    }
    set(model, |i, _| means[i].clone())
}

/// Domain-specific batch normalisation (Chang et al. 2019): statistics, scale
/// and shift of its own for every domain, chosen by
/// [`Ctx::domain`](tl_nn::Ctx::domain). Convolutions around it are shared.
#[derive(Clone, Debug)]
pub struct DomainBatchNorm {
    /// One layer for each domain.
    pub domains: Vec<BatchNorm>,
}
module!(DomainBatchNorm { domains });

impl DomainBatchNorm {
    /// For this many channels and domains.
    pub fn new(channels: usize, domains: usize) -> Self {
        Self { domains: (0..domains).map(|_| BatchNorm::new(channels)).collect() }
    }

    /// Every domain begins as a copy of a trained layer.
    pub fn from_trained(layer: &BatchNorm, domains: usize) -> Self {
        Self { domains: (0..domains).map(|_| layer.clone()).collect() }
    }
}

impl Forward for DomainBatchNorm {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
        let of = cx.domain();
        let Some(layer) = self.domains.get(of) else {
            let expected = format!("below {}, the domains of this layer", self.domains.len());
            return Err(tl_nn::Error::argument("DomainBatchNorm", "domain", of, expected));
        };
        layer.forward(x, cx)
    }
}

/// TENT (Wang et al. 2021): while it predicts, the model adapts itself to the
/// batch: one step of Adam that lowers the entropy of its predictions, on scale
/// and shift of batch normalisation alone, with the statistics of the batch.
/// The predictions are those of the pass before the step, as in the paper.
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
}

impl Default for TentSettings {
    fn default() -> Self {
        Self { lr: 1e-3, episodic: false, collapse: 0.95 }
    }
}

impl<M: Forward> Tent<M> {
    /// Adapts this model. All but scale and shift of batch normalisation is
    /// frozen.
    ///
    /// # Errors
    /// A model without batch normalisation that has scale and shift.
    pub fn new(mut model: M, settings: TentSettings) -> Result<Self> {
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
        Ok(Self { model, source, optimizer: fresh.clone(), fresh, settings, resets: 0 })
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
        if self.settings.episodic {
            self.reset()?;
        }
        let mut cx = Ctx::eval().with_norm_stats(NormStats::Batch);
        let logits = self.model.forward(x, &mut cx)?;
        let gradients = entropy(&logits)?.backward()?;
        let _ = self.optimizer.step(&mut self.model, &gradients)?;
        let logits = logits.detach();
        if !self.settings.episodic && self.collapsed(&logits)? {
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
