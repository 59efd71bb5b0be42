//! The builder: a pre-trained model, a small data set.

mod objective;
mod plan;
mod settings;

pub use settings::{FineTune, LayerDecay, Method, Statistics};

use crate::{Error, Result};
use objective::Step;
use tl_data::{Batching, Dataset, transform::Mixup};
use tl_nn::{
    AdamW, EarlyStopping, Forward, LrCurve, LrFinder, ModuleExt, Optimizer, Schedule, TrainReport,
    Trainer,
};

impl FineTune {
    /// Fine-tunes, and returns how every stage went. Afterwards everything is
    /// trainable again, but for [`Method::AsIs`].
    ///
    /// # Errors
    /// A pattern that matches nothing; a set without classes; settings out of
    /// range; those of the model.
    pub fn fit<M: Forward>(&self, model: &mut M, data: &Dataset) -> Result<Vec<TrainReport>> {
        self.run(model, data, None)
    }

    /// As [`fit`](Self::fit), with the accuracy and loss on a validation set after
    /// every epoch. With [`patience`](method@Self::patience) a stage ends early, and the
    /// best model is kept. The validation set must not be the test set.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_validated<M: Forward>(
        &self,
        model: &mut M,
        data: &Dataset,
        validation: &Dataset,
    ) -> Result<Vec<TrainReport>> {
        let _ = validation.labels()?;
        self.run(model, data, Some(validation))
    }

    fn run<M: Forward>(
        &self,
        model: &mut M,
        data: &Dataset,
        validation: Option<&Dataset>,
    ) -> Result<Vec<TrainReport>> {
        self.check(validation.is_some())?;
        let _ = data.labels()?;
        let stages = self.stages();
        let source = self.needs_source().then(|| model.clone());
        let mut reports = Vec::new();
        for (i, stage) in stages.iter().enumerate() {
            let epochs = (i + 1) * self.epochs / stages.len() - i * self.epochs / stages.len();
            let setting = Setting { number: i, epochs, validation, source: source.as_ref() };
            stage.set_free(self, model)?;
            reports.push(self.stage(model, data, stage, &setting)?);
        }
        if self.method != Method::AsIs {
            let _ = model.unfreeze("**")?;
        }
        Ok(reports)
    }

    fn stage<M: Forward>(
        &self,
        model: &mut M,
        data: &Dataset,
        stage: &plan::Stage<'_>,
        setting: &Setting<'_, M>,
    ) -> Result<TrainReport> {
        let seed = self.seed.wrapping_add(setting.number as u64);
        let loader = self.loader(data, seed)?;
        let per_epoch = loader.len().div_ceil(self.accumulate) as u64;
        let optimizer = self.optimizer(model, stage, setting.epochs as u64 * per_epoch)?;
        let mut objective = Step::new(self, model, data, setting, per_epoch)?;
        let mut trainer =
            Trainer::new(optimizer, setting.epochs).seed(seed).accumulate(self.accumulate);
        if let Some(decay) = self.ema {
            trainer = trainer.ema(decay);
        }
        if let Some(patience) = self.patience {
            trainer = trainer
                .early_stopping(EarlyStopping::larger_is_better("accuracy").patience(patience));
        }
        if let Some(folder) = &self.checkpoints {
            let file = folder.join(format!("stage-{}.safetensors", setting.number));
            trainer = trainer.checkpoint(file).resume();
            if let Some(steps) = self.checkpoint_every {
                trainer = trainer.checkpoint_every(steps);
            }
        }
        let report = trainer.run(model, |epoch| loader.epoch(epoch as u64), &mut objective)?;
        if objective.finish(model)? {
            crate::refresh_statistics(model, data, self.batch)?;
        }
        Ok(report)
    }

    fn loader(&self, data: &Dataset, seed: u64) -> Result<tl_data::Loader> {
        let loader = data.batches(Batching::new(self.batch).shuffled(seed))?;
        Ok(match self.mixup {
            None => loader,
            Some(alpha) => {
                let mixup = Mixup::new(alpha)?;
                loader.map(move |batch, rng| mixup.apply(batch, rng))
            }
        })
    }

    /// The optimiser of a stage: AdamW, a rise and half a cosine over `steps`,
    /// gradients clipped, with the rates of [`rates`](Self::rates).
    fn optimizer<M: Forward>(
        &self,
        model: &M,
        stage: &plan::Stage<'_>,
        steps: u64,
    ) -> Result<Optimizer> {
        let rise = (self.warmup * steps as f64).round() as u64;
        let schedule = Schedule::warmup_cosine(rise, steps);
        let decay = if self.is_l2_sp() { 0.0 } else { self.weight_decay };
        let rule = AdamW { weight_decay: decay, ..AdamW::new(self.lr) };
        let mut optimizer = Optimizer::new(rule).schedule(schedule);
        if let Some(most) = self.clip_norm {
            optimizer = optimizer.clip_norm(most);
        }
        let factors = plan::factors(self, model, stage)?;
        for (path, param) in model.params().into_iter().filter(|(_, p)| !p.is_frozen()) {
            let factor = factors.get(&path).copied().unwrap_or(1.0);
            let vector = param.dims().len() < 2;
            if factor != 1.0 || vector {
                optimizer = optimizer.group(&path, |g| {
                    let g = if vector { g.weight_decay(0.0) } else { g };
                    if factor == 1.0 { g } else { g.lr_factor(factor) }
                })?;
            }
        }
        Ok(optimizer)
    }

    /// The learning rate of every trainable parameter of the last stage, by path:
    /// what [`Method`] and [`layer_decay`](field@Self::layer_decay) make of the rate.
    ///
    /// # Errors
    /// A pattern that matches nothing.
    pub fn rates<M: Forward>(&self, model: &M) -> Result<Vec<(String, f32)>> {
        let stages = self.stages();
        let Some(stage) = stages.last() else { return Ok(Vec::new()) };
        let mut copy = model.clone();
        stage.set_free(self, &mut copy)?;
        let factors = plan::factors(self, &copy, stage)?;
        let free = copy.params().into_iter().filter(|(_, p)| !p.is_frozen());
        Ok(free
            .map(|(path, _)| {
                let factor = factors.get(&path).copied().unwrap_or(1.0);
                (path, self.lr * factor)
            })
            .collect())
    }

    /// The learning rate range test for these settings, on a copy of the model: its
    /// suggestion is a good [`lr`](field@Self::lr).
    ///
    /// # Errors
    /// As [`fit`](Self::fit); those of [`LrFinder::find`].
    pub fn find_lr<M: Forward>(
        &self,
        model: &M,
        data: &Dataset,
        finder: &LrFinder,
    ) -> Result<LrCurve> {
        self.check(true)?;
        let stages = self.stages();
        let Some(stage) = stages.last() else {
            return Err(Error::argument("fine-tuning", "method", "none", "a method"));
        };
        let mut copy = model.clone();
        stage.set_free(self, &mut copy)?;
        let setting = Setting { number: 0, epochs: 1, validation: None, source: Some(model) };
        let mut objective = Step::new(self, &copy, data, &setting, u64::MAX)?;
        let loader = self.loader(data, self.seed)?;
        let batches =
            (0..).flat_map(|epoch| loader.epoch(epoch)).map(|b| b.map_err(tl_nn::Error::other));
        let curve = finder.find(
            &copy,
            |lr| Optimizer::new(AdamW { weight_decay: self.weight_decay, ..AdamW::new(lr) }),
            batches,
            |model, batch, cx| tl_nn::Objective::loss(&mut objective, model, batch, cx),
        )?;
        Ok(curve)
    }
}

/// What a stage has beside the settings.
pub(crate) struct Setting<'a, M> {
    number: usize,
    epochs: usize,
    validation: Option<&'a Dataset>,
    source: Option<&'a M>,
}
