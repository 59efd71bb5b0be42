//! A training run: the loop itself.

use super::{
    checkpoint,
    clock::Clock,
    early_stopping::Best,
    event::Event,
    history::{History, Record},
    objective::{Metrics, Objective},
    trainer::{TrainReport, Trainer},
};
use crate::{Ctx, Ema, Error, Gradients, Load, Module, ModuleExt, Result};
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;

/// Where a run stands; with the tensors, all that its rest depends on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) seed: u64,
    pub(super) epoch: usize,
    /// Batches of this epoch that are done.
    pub(super) batch: usize,
    /// Batches of all epochs that are done.
    pub(super) batches: u64,
    pub(super) step: u64,
    /// Sums over the batches of this epoch.
    pub(super) sums: Metrics,
    pub(super) lr: f64,
    pub(super) seconds: f64,
    pub(super) best: Best,
    pub(super) stopped: bool,
    pub(super) history: History,
}

pub(super) struct Run<'r, 'a, M: Module, B, O: Objective<M, B>> {
    pub(super) trainer: Trainer<'a>,
    pub(super) model: &'r mut M,
    pub(super) objective: &'r mut O,
    pub(super) ema: Option<Ema<M>>,
    pub(super) at: Position,
    batch: PhantomData<fn(&B)>,
}

/// The random numbers of one batch: a mix of the run's seed and its number
/// (the finaliser of SplitMix64, Steele et al. 2014).
fn mix(seed: u64, number: u64) -> u64 {
    let mut z = seed ^ number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl<'r, 'a, M: Module, B, O: Objective<M, B>> Run<'r, 'a, M, B, O> {
    pub(super) fn begin(
        trainer: Trainer<'a>,
        model: &'r mut M,
        objective: &'r mut O,
    ) -> Result<Self> {
        let ema = trainer.ema.map(|decay| Ema::new(model, decay));
        let at = Position { seed: trainer.seed, ..Position::default() };
        let mut run = Self { trainer, model, objective, ema, at, batch: PhantomData };
        if run.trainer.resume {
            checkpoint::load(&mut run)?;
        }
        Ok(run)
    }

    pub(super) fn train<D, I, E>(mut self, mut data: D) -> Result<TrainReport>
    where
        D: FnMut(usize) -> I,
        I: IntoIterator<Item = Result<B, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (epochs, steps) = (self.trainer.epochs, self.at.step);
        self.tell(&Event::Begin { epochs, steps });
        while self.at.epoch < epochs && !self.at.stopped {
            self.epoch(data(self.at.epoch).into_iter())?;
        }
        self.finish()
    }

    fn epoch<E>(&mut self, mut source: impl Iterator<Item = Result<B, E>>) -> Result<()>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (before, start) = (self.at.seconds, Clock::start());
        let of = source.size_hint().1;
        for _ in 0..self.at.batch {
            // Done before the interruption.
            source.next().transpose().map_err(Error::other)?;
        }
        loop {
            let mut batches = Vec::new();
            while batches.len() < self.trainer.accumulate
                && let Some(batch) = source.next()
            {
                batches.push(batch.map_err(Error::other)?);
            }
            if batches.is_empty() {
                break;
            }
            self.step(&batches, of)?;
            self.at.seconds = before + start.seconds();
            if self.trainer.checkpoint_every.is_some_and(|n| self.at.step.is_multiple_of(n)) {
                self.save()?;
            }
        }
        if self.at.batch == 0 {
            let got = format!("no batch in epoch {}", self.at.epoch);
            return Err(Error::argument("trainer", "data", got, "at least one batch an epoch"));
        }
        self.close_epoch(before, start)
    }

    /// One optimiser step with the mean gradient of these batches.
    fn step(&mut self, batches: &[B], of: Option<usize>) -> Result<()> {
        let mut sums = Metrics::new();
        let mut total: Option<Gradients> = None;
        let mut updates = Vec::new();
        for (i, batch) in batches.iter().enumerate() {
            let mut cx = self.context(i, of);
            let (losses, gradients) = self.objective.gradients(self.model, batch, &mut cx)?;
            let loss = losses.total.item()?;
            if !loss.is_finite() {
                return Err(self.not_finite(batch, i, of, loss));
            }
            *sums.entry("loss".to_owned()).or_default() += f64::from(loss);
            for (name, part) in &losses.parts {
                *sums.entry(format!("loss.{name}")).or_default() += f64::from(part.item()?);
            }
            updates.extend(cx.take_updates());
            total = Some(match total {
                None => gradients,
                Some(sum) => self.add(sum, gradients)?,
            });
        }
        let Some(mut gradients) = total else { return Ok(()) };
        if batches.len() > 1 {
            self.scale(&mut gradients, 1.0 / batches.len() as f32);
        }
        self.check_finite(&gradients)?;
        let report = self.trainer.optimizer.step(self.model, &gradients)?;
        drop(gradients);
        self.model.apply(updates)?;
        if let Some(ema) = &mut self.ema {
            ema.update(self.model)?;
        }
        self.at.step += 1;
        self.objective.after_step(self.model, self.at.step)?;
        self.at.batch += batches.len();
        self.at.batches += batches.len() as u64;
        self.at.lr = f64::from(report.lr);
        let loss = sums.get("loss").copied().unwrap_or_default() / batches.len() as f64;
        for (name, sum) in sums {
            *self.at.sums.entry(name).or_default() += sum;
        }
        let (epoch, batches, step) = (self.at.epoch, self.at.batch, self.at.step);
        self.tell(&Event::Step { epoch, batches, of, step, loss, lr: report.lr });
        Ok(())
    }

    /// The context of batch `i` of the step to come.
    fn context(&self, i: usize, of: Option<usize>) -> Ctx {
        let part = match of {
            Some(of) if of > 0 => (self.at.batch + i) as f64 / of as f64,
            _ => 0.0,
        };
        let progress = (self.at.epoch as f64 + part.min(1.0)) / self.trainer.epochs as f64;
        Ctx::train(mix(self.at.seed, self.at.batches + i as u64)).with_progress(progress)
    }

    /// Runs the batch again, looking where the first bad number comes from.
    fn not_finite(&mut self, batch: &B, i: usize, of: Option<usize>, value: f32) -> Error {
        let mut cx = self.context(i, of).watching();
        let again = self.objective.loss(self.model, batch, &mut cx);
        let origin = match (cx.culprit(), again) {
            (Some(path), _) => format!("the output of `{path}`"),
            (None, Err(error)) => format!("a pass that then failed: {error}"),
            (None, Ok(_)) => "the loss itself, from finite outputs".to_owned(),
        };
        Error::NonFiniteLoss {
            value,
            step: self.at.step,
            epoch: self.at.epoch,
            batch: self.at.batch + i,
            origin,
        }
    }

    fn check_finite(&self, gradients: &Gradients) -> Result<()> {
        for (path, param) in self.model.params() {
            if gradients.get(param.tensor()).is_some_and(|g| !g.is_finite()) {
                let Position { step, epoch, batch, .. } = self.at;
                return Err(Error::NonFiniteGradient { path, step, epoch, batch });
            }
        }
        Ok(())
    }

    fn add(&self, mut sum: Gradients, mut more: Gradients) -> Result<Gradients> {
        for variable in self.model.trainable() {
            let Some(new) = more.remove(variable) else { continue };
            let new = match sum.remove(variable) {
                Some(old) => old.add(&new)?,
                None => new,
            };
            sum.insert(variable, new);
        }
        Ok(sum)
    }

    fn scale(&self, gradients: &mut Gradients, by: f32) {
        for variable in self.model.trainable() {
            // A variable that is tied is here twice, but scaled once.
            if let Some(gradient) = gradients.remove(variable) {
                gradients.insert(variable, gradient.mul_scalar(by));
            }
        }
    }

    fn close_epoch(&mut self, before: f64, start: Clock) -> Result<()> {
        let validated = match &self.ema {
            Some(ema) => self.objective.validate(ema.model())?,
            None => self.objective.validate(self.model)?,
        };
        let at = &mut self.at;
        let count = at.batch as f64;
        let record = Record {
            epoch: at.epoch,
            step: at.step,
            lr: at.lr,
            train: std::mem::take(&mut at.sums).into_iter().map(|(n, s)| (n, s / count)).collect(),
            validation: validated.clone().unwrap_or_default(),
            seconds: before + start.seconds(),
        };
        (at.epoch, at.batch, at.seconds) = (at.epoch + 1, 0, 0.0);
        let watched = &self.trainer.plateau_on;
        if let Some(&value) = record.validation.get(watched).or_else(|| record.train.get(watched)) {
            self.trainer.optimizer.observe(value);
        }
        if let Some(rule) = &self.trainer.early {
            let (model, ema) = (&*self.model, &self.ema);
            let current =
                || ema.as_ref().map_or_else(|| model.state_dict(), |e| e.model().state_dict());
            at.best.observe(rule, record.epoch, validated.as_ref(), current)?;
            at.stopped = at.best.is_over(rule);
        }
        tracing::debug!(epoch = record.epoch, loss = record.train["loss"], "epoch");
        at.history.records.push(record);
        if self.trainer.checkpoint.is_some() {
            self.save()?;
        }
        if let Some(path) = &self.trainer.history {
            self.at.history.save(path)?;
        }
        if let Some(record) = self.at.history.records.last() {
            let event = Event::Epoch(record);
            self.trainer.listeners.iter_mut().for_each(|listener| listener(&event));
        }
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        let Some(path) = self.trainer.checkpoint.clone() else { return Ok(()) };
        checkpoint::save(self, &path)?;
        self.tell(&Event::Saved { path: &path });
        Ok(())
    }

    fn tell(&mut self, event: &Event<'_>) {
        self.trainer.listeners.iter_mut().for_each(|listener| listener(event));
    }

    /// Leaves the model that was asked for: the best, the average or the last.
    fn finish(mut self) -> Result<TrainReport> {
        let kept = if self.trainer.early.is_some() && self.at.best.metric.is_some() {
            Some(std::mem::take(&mut self.at.best.model))
        } else {
            self.ema.as_ref().map(|ema| ema.model().state_dict())
        };
        if let Some(kept) = kept.filter(|kept| !kept.is_empty()) {
            let _ = self.model.load(&kept, &Load::strict())?;
        }
        let best = self.at.best.metric.map(|metric| (self.at.best.epoch, metric));
        let report = TrainReport {
            history: std::mem::take(&mut self.at.history),
            steps: self.at.step,
            best,
            stopped_early: self.at.stopped,
        };
        self.tell(&Event::End(&report));
        Ok(report)
    }
}
