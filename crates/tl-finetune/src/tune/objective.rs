//! The loss of a batch.

use super::{FineTune, Setting, Statistics};
use crate::{
    Result,
    penalty::{Delta, Penalty, StartingPoint, channel_importance, r3f, spectral_shrinkage},
};
use tl_data::{Batch, Dataset, Targets};
use tl_nn::{
    CrossEntropy, Ctx, Dtype, Forward, Load, Losses, Metrics, ModuleExt, NormStats, Objective,
    StateDict, Tensor, Weight, metric,
};

/// A penalty that is ready to run.
enum Ready<M: Forward> {
    L2Sp(StartingPoint, f32, f32),
    Bss(String, usize, f32),
    Delta(Delta<M>, f32),
    R3f(f32, crate::R3fNoise),
}

/// The objective of a stage.
pub(super) struct Step<'a, M: Forward> {
    penalties: Vec<Ready<M>>,
    smoothing: f64,
    stochastic: bool,
    validation: Option<&'a Dataset>,
    batch: usize,
    average: Option<Average>,
    per_epoch: u64,
}

/// The mean of models: SWA.
struct Average {
    from: u64,
    mean: StateDict,
    count: u64,
}

impl<'a, M: Forward> Step<'a, M> {
    pub(super) fn new(
        tune: &FineTune,
        model: &M,
        data: &Dataset,
        setting: &Setting<'a, M>,
        per_epoch: u64,
    ) -> Result<Self> {
        let source = setting.source.unwrap_or(model);
        let mut penalties = Vec::new();
        for penalty in &tune.penalties {
            penalties.push(match penalty {
                Penalty::L2Sp { alpha, beta } => {
                    Ready::L2Sp(StartingPoint::of(source, &tune.head)?, *alpha, *beta)
                }
                Penalty::Bss { layer, k, weight } => Ready::Bss(layer.clone(), *k, *weight),
                Penalty::Delta { layers, weight, attention } => {
                    let layers = layers.iter().map(|layer| {
                        let path = format!("{layer}.weight");
                        let weights = attention
                            .then(|| channel_importance(source, data, &path))
                            .transpose()?;
                        Ok((layer.clone(), weights))
                    });
                    Ready::Delta(Delta::new(source, layers.collect::<Result<_>>()?)?, *weight)
                }
                Penalty::R3f { weight, noise } => Ready::R3f(*weight, *noise),
            });
        }
        let average = tune.swa.map(|from| Average {
            from: (from * setting.epochs as f64).floor() as u64,
            mean: StateDict::new(),
            count: 0,
        });
        Ok(Self {
            penalties,
            smoothing: tune.label_smoothing,
            stochastic: tune.statistics == Statistics::Stochastic,
            validation: setting.validation,
            batch: tune.batch,
            average,
            per_epoch,
        })
    }

    /// Puts the mean of the weights in place, if there is one.
    pub(super) fn finish(&mut self, model: &mut M) -> Result<bool> {
        let Some(average) = self.average.take().filter(|a| a.count > 0) else { return Ok(false) };
        let _ = model.load(&average.mean, &Load::strict())?;
        Ok(true)
    }

    fn task(&self, logits: &Tensor, batch: &Batch) -> tl_nn::Result<Tensor> {
        let loss = CrossEntropy::new().label_smoothing(self.smoothing);
        Ok(match &batch.targets {
            Targets::Classes { labels, .. } => loss.loss(logits, labels)?,
            _ => loss.soft_loss(logits, &batch.soft_targets().map_err(tl_nn::Error::other)?)?,
        })
    }
}

impl<M: Forward> Objective<M, Batch> for Step<'_, M> {
    fn loss(&mut self, model: &M, batch: &Batch, cx: &mut Ctx) -> tl_nn::Result<Losses> {
        if self.stochastic {
            cx.set_norm_stats(NormStats::Stochastic { percent: 50 });
        }
        for penalty in &self.penalties {
            match penalty {
                Ready::Bss(layer, ..) => cx.capture_more(layer)?,
                Ready::Delta(delta, _) => {
                    for layer in delta.layers() {
                        cx.capture_more(layer)?;
                    }
                }
                Ready::L2Sp(..) | Ready::R3f(..) => {}
            }
        }
        let logits = model.forward(&batch.features, cx)?;
        let task = self.task(&logits, batch)?;
        if self.penalties.is_empty() {
            return Ok(Losses::new(task));
        }
        let (mut total, mut parts) = (task.clone(), vec![("task", task)]);
        for penalty in &self.penalties {
            let (name, value) = match penalty {
                Ready::L2Sp(start, alpha, beta) => ("l2_sp", start.l2_sp(model, *alpha, *beta)?),
                Ready::Bss(layer, k, weight) => {
                    let Some(features) = cx.tapped(layer) else {
                        let expected = "a tap of the model";
                        return Err(tl_nn::Error::argument("BSS", "layer", layer, expected));
                    };
                    ("bss", spectral_shrinkage(features, *k)?.mul_scalar(*weight))
                }
                Ready::Delta(delta, weight) => {
                    ("delta", delta.penalty(&batch.features, cx)?.mul_scalar(*weight))
                }
                Ready::R3f(weight, noise) => {
                    let noisy = noise.add_to(&batch.features, cx.rng())?;
                    let again = model.forward(&noisy, cx)?;
                    ("r3f", r3f(&logits, &again)?.mul_scalar(*weight))
                }
            };
            total = total.add(&value)?;
            parts.push((name, value));
        }
        let losses = Losses::new(total);
        Ok(parts.iter().fold(losses, |losses, (name, value)| losses.part(name, value)))
    }

    fn after_step(&mut self, model: &mut M, step: u64) -> tl_nn::Result<()> {
        if let Some(average) = &mut self.average
            && step.is_multiple_of(self.per_epoch)
            && step / self.per_epoch > average.from
        {
            average.take_in(&model.state_dict())?;
        }
        Ok(())
    }

    fn validate(&mut self, model: &M) -> tl_nn::Result<Option<Metrics>> {
        let Some(data) = self.validation else { return Ok(None) };
        let model = model.frozen();
        let logits = crate::extract(data, self.batch.max(32), |x, cx| model.forward(x, cx))?;
        let labels = data.labels().map_err(tl_nn::Error::other)?.into();
        let loss = CrossEntropy::new().loss(logits.features(), &labels)?.item()?;
        let accuracy = metric::accuracy(logits.features(), &labels)?;
        Ok(Some(Metrics::from([
            ("accuracy".to_owned(), accuracy),
            ("loss".to_owned(), f64::from(loss)),
        ])))
    }

    fn state(&self) -> StateDict {
        let mut dict = StateDict::new();
        if let Some(average) = &self.average {
            dict.add_part("swa", average.mean.clone());
            dict.insert("swa_count", Weight::integer(&Tensor::scalar(average.count as f32)));
        }
        dict
    }

    fn load_state(&mut self, state: &StateDict) -> tl_nn::Result<()> {
        if let Some(average) = &mut self.average {
            average.mean = state.part("swa");
            average.count = state.tensor("swa_count")?.item()? as u64;
        }
        Ok(())
    }
}

impl Average {
    fn take_in(&mut self, now: &StateDict) -> tl_nn::Result<()> {
        self.count += 1;
        let part = 1.0 / self.count as f32;
        for (name, weight) in now.iter() {
            let new = match self.mean.get(name) {
                Some(old) if weight.dtype() != Dtype::I64 => {
                    let old = old.to_tensor()?;
                    Weight::new(&old.add(&weight.to_tensor()?.sub(&old)?.mul_scalar(part))?)
                }
                _ => weight.clone(),
            };
            self.mean.insert(name, new);
        }
        Ok(())
    }
}
