//! The builder.

use crate::{Error, Hint, Ramp, Relation, Result, Soft, Storage};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use tl_data::{Batching, Dataset, Loader, Targets};
use tl_nn::{AdamW, Optimizer, Schedule, Trainer};

/// How a student learns from a teacher. Plain data; the work is done by
/// [`fit`](Self::fit) and [`compare`](Self::compare).
///
/// The loss is `hard · task + soft · teacher + Σ weight · hint`, where the task
/// is cross entropy for classes and the squared error for numbers. Defaults:
/// soft weight 0.9, hard weight 0.1, no hints, 20 epochs of batches of 64, AdamW
/// with rate 3e-3 falling as a cosine, weight decay 0.01.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distill {
    /// The loss between outputs.
    pub soft: Soft,
    /// Its weight.
    pub soft_weight: f64,
    /// The weight of the loss with the true targets; 0 needs no targets.
    pub hard_weight: f64,
    /// Losses between layers.
    #[serde(default)]
    pub hints: Vec<Hint>,
    /// A factor of the true targets' weight that changes during the run.
    #[serde(default)]
    pub hard_ramp: Option<Ramp>,
    /// A factor of the teacher's weight that changes during the run.
    #[serde(default)]
    pub soft_ramp: Option<Ramp>,
    /// A factor of all hints' weights that changes during the run.
    #[serde(default)]
    pub hint_ramp: Option<Ramp>,
    /// The temperature during the run, in the place of that of the loss.
    #[serde(default)]
    pub temperature: Option<Ramp>,
    /// Whether the features that hints need are computed once and kept with
    /// the outputs. They take `n` times the numbers of a sample's features.
    #[serde(default)]
    pub cache_hints: bool,
    /// A file for the teacher's outputs.
    #[serde(default)]
    pub cache: Option<PathBuf>,
    /// How they are stored.
    #[serde(default)]
    pub storage: Storage,
    /// Passes over the data.
    pub epochs: usize,
    /// Samples of a batch. A last one of less than three is left out.
    pub batch: usize,
    /// The highest learning rate.
    pub lr: f32,
    /// AdamW's weight decay.
    pub weight_decay: f32,
    /// Of order, dropout and regressors.
    pub seed: u64,
}

impl Distill {
    /// With any loss between outputs.
    pub fn new(soft: Soft) -> Self {
        Self {
            soft,
            soft_weight: 0.9,
            hard_weight: 0.1,
            hints: Vec::new(),
            hard_ramp: None,
            soft_ramp: None,
            hint_ramp: None,
            temperature: None,
            cache_hints: false,
            cache: None,
            storage: Storage::F32,
            epochs: 20,
            batch: 64,
            lr: 3e-3,
            weight_decay: 0.01,
            seed: 0,
        }
    }

    /// Hinton's distillation at a temperature; see [`kd`](crate::kd).
    pub fn kd(temperature: f64) -> Self {
        Self::new(Soft::Kd { temperature })
    }

    /// The weight of the true targets; the teacher's outputs get what is left
    /// to 1.
    #[must_use]
    pub fn hard(mut self, weight: f64) -> Self {
        (self.hard_weight, self.soft_weight) = (weight, 1.0 - weight);
        self
    }

    /// Both weights.
    #[must_use]
    pub fn weights(mut self, hard: f64, soft: f64) -> Self {
        (self.hard_weight, self.soft_weight) = (hard, soft);
        self
    }

    /// Adds a loss between a student's layer and a teacher's.
    #[must_use]
    pub fn hint(self, student: &str, teacher: &str, relation: Relation, weight: f64) -> Self {
        self.hints(&[(student, teacher)], relation, weight)
    }

    /// Adds a loss over several pairs of layers, the student's first, from
    /// shallow to deep; an empty list stands for up to three pairs that
    /// [`map_layers`](crate::map_layers) finds.
    #[must_use]
    pub fn hints(mut self, layers: &[(&str, &str)], relation: Relation, weight: f64) -> Self {
        let layers = layers.iter().map(|&(s, t)| (s.to_owned(), t.to_owned())).collect();
        self.hints.push(Hint { layers, relation, weight });
        self
    }

    /// Keeps the teacher's features for the hints, so that it need not run with
    /// every batch.
    #[must_use]
    pub fn cache_hints(mut self) -> Self {
        self.cache_hints = true;
        self
    }

    /// Lets the weights of teacher and hints rise from 0 over this part of the
    /// run. DKD's and ReviewKD's papers warm up.
    #[must_use]
    pub fn warmup(mut self, part: f64) -> Self {
        let ramp = Some(Ramp::new(0.0, 1.0).over(0.0, part));
        (self.soft_ramp, self.hint_ramp) = (ramp, ramp);
        self
    }

    /// Lets the temperature go to this one in a straight line over the run.
    #[must_use]
    pub fn anneal(mut self, final_temperature: f64) -> Self {
        let from = self.soft.temperature().unwrap_or(final_temperature);
        self.temperature = Some(Ramp::new(from, final_temperature));
        self
    }

    /// Lets the temperature follow a ramp.
    #[must_use]
    pub fn temperature(mut self, ramp: Ramp) -> Self {
        self.temperature = Some(ramp);
        self
    }

    /// Factors of the weights of true targets and of the teacher that change
    /// during the run.
    #[must_use]
    pub fn ramps(mut self, hard: Ramp, soft: Ramp) -> Self {
        (self.hard_ramp, self.soft_ramp) = (Some(hard), Some(soft));
        self
    }

    /// Keeps the teacher's outputs in a file; see [`TeacherCache`](crate::TeacherCache).
    #[must_use]
    pub fn cache(mut self, path: impl Into<PathBuf>, storage: Storage) -> Self {
        (self.cache, self.storage) = (Some(path.into()), storage);
        self
    }

    /// Passes over the data, and samples of a batch.
    #[must_use]
    pub fn budget(mut self, epochs: usize, batch: usize) -> Self {
        (self.epochs, self.batch) = (epochs, batch);
        self
    }

    /// The highest learning rate.
    #[must_use]
    pub fn lr(mut self, lr: f32) -> Self {
        self.lr = lr;
        self
    }

    /// The seed of order, dropout and regressors.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The same run without a teacher: the honest baseline.
    #[must_use]
    pub fn without_teacher(&self) -> Self {
        let mut own = self.clone();
        own.hints.clear();
        (own.soft_weight, own.hard_weight) = (0.0, 1.0);
        (own.hard_ramp, own.soft_ramp, own.hint_ramp) = (None, None, None);
        own
    }

    /// The batches of this budget. A last one of one or two samples is left out:
    /// losses between samples need three, batch normalisation two.
    pub(crate) fn loader(&self, data: &Dataset) -> Result<Loader> {
        let n = data.len();
        let short = n > self.batch && (1..3).contains(&(n % self.batch.max(1)));
        let batching = Batching::new(self.batch).shuffled(self.seed).drop_last(short);
        Ok(data.batches(batching)?)
    }

    /// The training loop of this budget.
    pub(crate) fn trainer(&self, batches: usize) -> Trainer<'static> {
        let steps = (self.epochs * batches) as u64;
        let rule = AdamW::new(self.lr).weight_decay(self.weight_decay);
        let optimizer = Optimizer::new(rule).schedule(Schedule::cosine(steps, 0.0));
        Trainer::new(optimizer, self.epochs).seed(self.seed)
    }

    pub(crate) fn check(&self, data: &Dataset) -> Result<()> {
        let wrong =
            |name, got: f64, expected: &str| Err(Error::argument("distill", name, got, expected));
        for (name, weight) in [("hard_weight", self.hard_weight), ("soft_weight", self.soft_weight)]
            .into_iter()
            .chain(self.hints.iter().map(|h| ("weight of a hint", h.weight)))
        {
            if !weight.is_finite() || weight < 0.0 {
                return wrong(name, weight, "a finite number from 0 on");
            }
        }
        if self.hard_weight + self.soft_weight == 0.0 && self.hints.is_empty() {
            return wrong("soft_weight", 0.0, "above 0, as the hard weight is 0 too");
        }
        for (name, ramp) in [
            ("hard_ramp", self.hard_ramp),
            ("soft_ramp", self.soft_ramp),
            ("hint_ramp", self.hint_ramp),
        ] {
            ramp.map_or(Ok(()), |r| r.check(name, false))?;
        }
        if let Some(ramp) = self.temperature {
            ramp.check("temperature", true)?;
            if self.soft.temperature().is_none() {
                return wrong("temperature", ramp.to, "none, as this loss has no temperature");
            }
        }
        if self.hard_weight > 0.0 && matches!(data.targets(), Targets::None) {
            return wrong("hard_weight", self.hard_weight, "0 for unlabelled data: `.hard(0.0)`");
        }
        Ok(())
    }
}
