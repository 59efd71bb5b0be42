//! What every run of pre-training has: passes, batches, rates, a checkpoint.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use tl_data::{Batch, Batching, Dataset, Loader};
use tl_nn::{AdamW, Lars, Module, Objective, Optimizer, Schedule, TrainReport, Trainer};

/// The optimiser of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// AdamW: for batches of hundreds.
    #[default]
    AdamW,
    /// LARS (You et al. 2017) with momentum 0.9: for batches of thousands, with
    /// rates near 0.3 for each 256 samples of a batch. Vectors (biases,
    /// normalisation) take plain steps without decay.
    Lars,
}

/// How long, in what steps, and with what rates an encoder is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Training {
    /// Passes over the data. Default 30.
    pub epochs: usize,
    /// Samples of a step. Default 256.
    pub batch: usize,
    /// The rate, with a warm-up over a tenth of the run and a cosine to 0.
    /// Default 2e-3.
    pub lr: f32,
    /// Decay of weights. Default 0.01, that of AdamW.
    pub weight_decay: f32,
    /// The optimiser. Default AdamW.
    pub rule: Rule,
    /// What all randomness is drawn from. Default 0.
    pub seed: u64,
    /// Where a checkpoint is saved after every epoch. A run that finds one goes
    /// on from it, to the same bits as a run without interruption.
    pub checkpoint: Option<PathBuf>,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: 30,
            batch: 256,
            lr: 2e-3,
            weight_decay: 0.01,
            rule: Rule::AdamW,
            seed: 0,
            checkpoint: None,
        }
    }
}

/// The setters of [`Training`], for a builder with a field `training`.
macro_rules! training_setters {
    ($Builder:ident) => {
        impl $Builder {
            /// Sets the passes over the data.
            #[must_use]
            pub fn epochs(mut self, epochs: usize) -> Self {
                self.training.epochs = epochs;
                self
            }

            /// Sets the samples of a step.
            #[must_use]
            pub fn batch(mut self, batch: usize) -> Self {
                self.training.batch = batch;
                self
            }

            /// Sets the rate.
            #[must_use]
            pub fn lr(mut self, lr: f32) -> Self {
                self.training.lr = lr;
                self
            }

            /// Sets the decay of weights.
            #[must_use]
            pub fn weight_decay(mut self, weight_decay: f32) -> Self {
                self.training.weight_decay = weight_decay;
                self
            }

            /// Sets the optimiser.
            #[must_use]
            pub fn rule(mut self, rule: $crate::Rule) -> Self {
                self.training.rule = rule;
                self
            }

            /// Sets what all randomness is drawn from.
            #[must_use]
            pub fn seed(mut self, seed: u64) -> Self {
                self.training.seed = seed;
                self
            }

            /// Saves a checkpoint after every epoch, and goes on from one that is there.
            #[must_use]
            pub fn checkpoint(mut self, path: impl Into<std::path::PathBuf>) -> Self {
                self.training.checkpoint = Some(path.into());
                self
            }
        }
    };
}
pub(crate) use training_setters;

impl Training {
    /// The batches of a set; the number of steps in all.
    pub(crate) fn loader(&self, data: &Dataset) -> Result<(Loader, u64)> {
        if self.epochs == 0 || self.batch < 2 || data.len() < 2 {
            let got = format!("{self:?} on {} samples", data.len());
            let expected = "epochs of 1 or more, batches and data of 2 samples or more";
            return Err(Error::argument("pre-training", "settings", got, expected));
        }
        let batch = self.batch.min(data.len());
        let loader = data.batches(Batching::new(batch).shuffled(self.seed).drop_last(true))?;
        let steps = (self.epochs * loader.len()) as u64;
        Ok((loader, steps))
    }

    pub(crate) fn run<M: Module>(
        &self,
        net: &mut M,
        loader: &Loader,
        steps: u64,
        objective: &mut impl Objective<M, Batch>,
    ) -> tl_nn::Result<TrainReport> {
        let schedule = Schedule::warmup_cosine(steps / 10, steps);
        let optimizer = match self.rule {
            Rule::AdamW => Optimizer::new(AdamW::new(self.lr).weight_decay(self.weight_decay)),
            Rule::Lars => {
                let weight_decay = self.weight_decay;
                Optimizer::new(Lars { weight_decay, ..Lars::new(self.lr) })
            }
        };
        let mut trainer = Trainer::new(optimizer.schedule(schedule), self.epochs).seed(self.seed);
        if let Some(path) = &self.checkpoint {
            trainer = trainer.checkpoint(path).resume();
        }
        trainer.run(net, |epoch| loader.epoch(epoch as u64), objective)
    }
}
