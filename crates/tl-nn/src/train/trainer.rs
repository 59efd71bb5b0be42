//! The builder of a training run.

use super::{
    early_stopping::EarlyStopping,
    event::Event,
    history::History,
    objective::{Closures, Losses, Metrics, NoValidation, Objective},
    run::Run,
};
use crate::{Ctx, Error, Module, Optimizer, Result};
use std::path::PathBuf;

type Listener<'a> = Box<dyn FnMut(&Event<'_>) + 'a>;

/// The training loop. It owns epochs, accumulation, averaging, validation,
/// early stopping, checkpoints, history and events; what is minimised and on
/// what data is said when it starts.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_nn::{AdamW, Error, Forward, Linear, Optimizer, Reduction, Tensor, Trainer, loss};
/// # fn main() -> tl_nn::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let x = Tensor::randn([32, 3], &mut rng);
/// let y = x.sum(1, true)?;
/// let mut model = Linear::new(3, 1, &mut rng);
/// let report = Trainer::new(Optimizer::new(AdamW::new(0.1)), 60).fit(
///     &mut model,
///     |_epoch| [Ok::<_, Error>((x.clone(), y.clone()))],
///     |model, (x, y), cx| Ok(loss::mse(&model.forward(x, cx)?, y, Reduction::Mean)?),
/// )?;
/// assert!(report.history.records[59].train["loss"] < 1e-2);
/// # Ok(())
/// # }
/// ```
///
/// The data source is a function of the epoch, so that a resumed run sees the
/// same batches: shuffle with a seed made of the epoch. All else that is
/// random is drawn from the [`Ctx`] that the objective gets, which the
/// [`seed`](Self::seed) and the number of the batch decide.
pub struct Trainer<'a> {
    pub(super) optimizer: Optimizer,
    pub(super) epochs: usize,
    pub(super) seed: u64,
    pub(super) accumulate: usize,
    pub(super) ema: Option<f32>,
    pub(super) early: Option<EarlyStopping>,
    pub(super) plateau_on: String,
    pub(super) checkpoint: Option<PathBuf>,
    pub(super) checkpoint_every: Option<u64>,
    pub(super) resume: bool,
    pub(super) history: Option<PathBuf>,
    pub(super) listeners: Vec<Listener<'a>>,
}

/// How a run went.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainReport {
    /// The numbers of every epoch, also of those before a resumption.
    pub history: History,
    /// Optimiser steps in all.
    pub steps: u64,
    /// The epoch whose model was kept and its metric, with early stopping.
    pub best: Option<(usize, f64)>,
    /// Whether early stopping ended the run.
    pub stopped_early: bool,
}

impl<'a> Trainer<'a> {
    /// This many passes over the data, without validation or checkpoints.
    pub fn new(optimizer: Optimizer, epochs: usize) -> Self {
        Self {
            optimizer,
            epochs,
            seed: 0,
            accumulate: 1,
            ema: None,
            early: None,
            plateau_on: "loss".to_owned(),
            checkpoint: None,
            checkpoint_every: None,
            resume: false,
            history: None,
            listeners: Vec::new(),
        }
    }

    /// The seed of dropout and of all else that is random in a pass. Default 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Takes a step after this many batches, with the mean of their gradients.
    /// At the end of an epoch a step is taken with those that are left.
    #[must_use]
    pub fn accumulate(mut self, batches: usize) -> Self {
        self.accumulate = batches;
        self
    }

    /// Validates and returns the exponential moving average of the model, with
    /// this decay a step.
    #[must_use]
    pub fn ema(mut self, decay: f32) -> Self {
        self.ema = Some(decay);
        self
    }

    /// Stops early and keeps the best model. Needs a validation.
    #[must_use]
    pub fn early_stopping(mut self, rule: EarlyStopping) -> Self {
        self.early = Some(rule);
        self
    }

    /// The metric that the optimiser's [`Plateau`](crate::Plateau) watches:
    /// one of the validation's, else of the training's. Default "loss".
    #[must_use]
    pub fn plateau_on(mut self, metric: &str) -> Self {
        self.plateau_on = metric.to_owned();
        self
    }

    /// Saves a checkpoint after every epoch: one safetensors file with the
    /// model (under `model.`), the optimiser's state, and everything else that
    /// the rest of the run depends on. It is replaced as a whole: a crash
    /// while saving leaves the one before.
    #[must_use]
    pub fn checkpoint(mut self, path: impl Into<PathBuf>) -> Self {
        self.checkpoint = Some(path.into());
        self
    }

    /// Saves the checkpoint also after every so many steps.
    #[must_use]
    pub fn checkpoint_every(mut self, steps: u64) -> Self {
        self.checkpoint_every = Some(steps);
        self
    }

    /// Goes on from the checkpoint if there is one. The result is bit for bit
    /// that of a run without interruption.
    #[must_use]
    pub fn resume(mut self) -> Self {
        self.resume = true;
        self
    }

    /// Saves the history after every epoch: a table for `.csv`, else JSON lines.
    #[must_use]
    pub fn history(mut self, path: impl Into<PathBuf>) -> Self {
        self.history = Some(path.into());
        self
    }

    /// Calls `listener` with everything that happens.
    #[must_use]
    pub fn on_event(mut self, listener: impl FnMut(&Event<'_>) + 'a) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// Shows a progress bar on the standard error stream, if it is a terminal.
    #[cfg(feature = "progress")]
    #[must_use]
    pub fn progress_bar(self) -> Self {
        self.on_event(super::bar::listener())
    }

    /// Trains `model` on the batches of `data(epoch)`, minimising `loss`.
    ///
    /// # Errors
    /// Those of the data and the loss; a loss or gradient that is not finite
    /// (the model is as before that step); a trainable parameter that gets no
    /// gradient; settings that make no sense; a checkpoint that exists though
    /// [`resume`](Self::resume) was not asked for, or is of another run.
    pub fn fit<M, B, D, I, E, L>(
        self,
        model: &mut M,
        data: D,
        loss: impl FnMut(&M, &B, &mut Ctx) -> Result<L>,
    ) -> Result<TrainReport>
    where
        M: Module,
        D: FnMut(usize) -> I,
        I: IntoIterator<Item = Result<B, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        L: Into<Losses>,
    {
        let validate: Option<NoValidation<M>> = None;
        self.run(model, data, &mut Closures { loss, validate })
    }

    /// As [`fit`](Self::fit), with metrics of the model after every epoch.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); those of `validate`.
    pub fn fit_validated<M, B, D, I, E, L>(
        self,
        model: &mut M,
        data: D,
        loss: impl FnMut(&M, &B, &mut Ctx) -> Result<L>,
        validate: impl FnMut(&M) -> Result<Metrics>,
    ) -> Result<TrainReport>
    where
        M: Module,
        D: FnMut(usize) -> I,
        I: IntoIterator<Item = Result<B, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        L: Into<Losses>,
    {
        self.run(model, data, &mut Closures { loss, validate: Some(validate) })
    }

    /// As [`fit`](Self::fit), with an objective that has more to say than a
    /// loss.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn run<M, B, D, I, E>(
        self,
        model: &mut M,
        data: D,
        objective: &mut impl Objective<M, B>,
    ) -> Result<TrainReport>
    where
        M: Module,
        D: FnMut(usize) -> I,
        I: IntoIterator<Item = Result<B, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.check()?;
        Run::begin(self, model, objective)?.train(data)
    }

    fn check(&self) -> Result<()> {
        let wrong = |name, got: String, expected: &str| {
            Err(Error::argument("trainer", name, got, expected))
        };
        let lr = self.optimizer.lr();
        if !(lr.is_finite() && lr >= 0.0) {
            return wrong("lr", lr.to_string(), "a finite rate from 0, such as 1e-3");
        }
        if self.accumulate == 0 {
            return wrong("accumulate", "0".into(), "at least 1 batch");
        }
        if self.checkpoint_every == Some(0) {
            return wrong("checkpoint_every", "0".into(), "at least 1 step");
        }
        if let Some(decay) = self.ema
            && !(0.0..1.0).contains(&decay)
        {
            return wrong("ema", decay.to_string(), "a decay from 0 to below 1, such as 0.999");
        }
        match &self.checkpoint {
            None if self.resume || self.checkpoint_every.is_some() => {
                wrong("checkpoint", "not set".into(), "a path to save to and resume from")
            }
            Some(path) if !self.resume && path.exists() => wrong(
                "checkpoint",
                format!("{}, which exists", path.display()),
                "`resume()` to go on from it, or another path",
            ),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for Trainer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer")
            .field("optimizer", &self.optimizer)
            .field("epochs", &self.epochs)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}
