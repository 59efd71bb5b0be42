//! Which method? Try them, on a part of the data that none has seen.

use crate::{Error, Extract, FineTune, LoraConfig, Method, Probe, Result, peft};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::fmt;
use tl_data::Dataset;
use tl_nn::{
    Clock, Ctx, Forward, Linear, Tensor,
    metric::{Comparison, Trials, Verdict, accuracy, paired_t_test},
};

/// Compares a probe, LP-FT, LoRA and full fine-tuning by their accuracy on
/// validation splits of the *training* data, within a budget of seconds, and says
/// which wins and by how much.
///
/// Each method gets an equal share of the budget; one epoch tells how many fit. A
/// method for which not one does is left out, and the report says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suggest {
    /// Seconds for all methods and splits. Default 60.
    pub budget: f64,
    /// Random splits, for an interval. Default 3.
    pub splits: usize,
    /// The part of each split that is held out. Default 0.25.
    pub held_out: f64,
    /// The settings of fine-tuning; its method is replaced, its epochs are the most.
    pub tune: FineTune,
    /// Where LoRA goes; without it LoRA is not tried.
    #[serde(default)]
    pub lora: Option<LoraConfig>,
    /// What all randomness is drawn from. Default 0.
    #[serde(default)]
    pub seed: u64,
}

/// What [`Suggest::run`] found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suggestion {
    /// Validation accuracy by method and split; the probe is the baseline.
    pub trials: Trials,
    /// The method with the best mean.
    pub winner: String,
    /// The second best, if there is one.
    pub runner_up: Option<String>,
    /// The mean lead of the winner over the second, and its paired test.
    pub lead: Option<Lead>,
    /// Methods that did not fit the budget, and why.
    pub left_out: Vec<(String, String)>,
    /// Epochs of each method.
    pub epochs: Vec<(String, usize)>,
}

/// By how much the winner leads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lead {
    /// The mean difference of accuracies over splits.
    pub difference: f64,
    /// The probability of such a difference by chance, by the paired t-test.
    pub p: f64,
}

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.trials)?;
        for (method, why) in &self.left_out {
            writeln!(f, "  {method}: left out, {why}")?;
        }
        write!(f, "Best on the validation splits: {}", self.winner)?;
        if let (Some(second), Some(lead)) = (&self.runner_up, self.lead) {
            let sure =
                if lead.p < 0.05 { "" } else { ", which these splits cannot tell from chance" };
            write!(f, ", {:+.4} over {second} (p = {:.3}{sure})", lead.difference, lead.p)?;
        }
        writeln!(f)
    }
}

/// The methods, in the order in which they are tried.
const METHODS: [&str; 4] = ["probe", "LP-FT", "LoRA", "full"];

impl Suggest {
    /// The defaults: one minute, three splits, without LoRA.
    pub fn new(tune: FineTune) -> Self {
        Self { budget: 60.0, splits: 3, held_out: 0.25, tune, lora: None, seed: 0 }
    }

    /// Sets the seconds for all methods and splits.
    #[must_use]
    pub fn budget(mut self, seconds: f64) -> Self {
        self.budget = seconds;
        self
    }

    /// Also tries LoRA.
    #[must_use]
    pub fn lora(mut self, config: LoraConfig) -> Self {
        self.lora = Some(config);
        self
    }

    /// Tries the methods. The model has a new head for the data; `features` is what
    /// that head gets, `head` finds it.
    ///
    /// # Errors
    /// Settings out of range; a set without classes or too small to split; those of
    /// the methods.
    pub fn run<M: Forward>(
        &self,
        model: &M,
        data: &Dataset,
        features: impl Fn(&M, &Tensor, &mut Ctx) -> tl_nn::Result<Tensor> + Sync,
        head: impl Fn(&mut M) -> &mut Linear,
    ) -> Result<Suggestion> {
        self.check()?;
        let extracted = Extract::new().batch(self.tune.batch).run_with(model, data, &features)?;
        let methods: Vec<&str> =
            METHODS.into_iter().filter(|m| *m != "LoRA" || self.lora.is_some()).collect();
        let share = self.budget / (self.splits * methods.len()) as f64;
        let mut found = Suggestion {
            trials: Trials::new("validation splits", "accuracy"),
            winner: String::new(),
            runner_up: None,
            lead: None,
            left_out: Vec::new(),
            epochs: Vec::new(),
        };
        for split in 0..self.splits {
            let seed = self.seed.wrapping_add(split as u64);
            let rng = || ChaCha8Rng::seed_from_u64(seed);
            let (train, held) = data.split(1.0 - self.held_out, &mut rng())?;
            let (train_features, held_features) =
                extracted.split(1.0 - self.held_out, &mut rng())?;
            let start = Clock::start();
            let probe = Probe::logistic().fit(&train_features, seed)?;
            let reached = probe.accuracy(&held_features)?;
            found.trials.push("probe", reached, start.seconds());
            for &method in &methods[1..] {
                if found.left_out.iter().any(|(m, _)| m == method) {
                    continue;
                }
                let start = Clock::start();
                let mut begin = model.clone();
                if method != "full"
                    && let Some(fitted) = probe.head()
                {
                    *head(&mut begin) = fitted.clone();
                }
                if method == "LoRA"
                    && let Some(config) = &self.lora
                {
                    peft::attach(&mut begin, "suggested", config.clone(), seed)?;
                }
                let epochs = match found.epochs.iter().find(|(m, _)| m == method) {
                    Some((_, epochs)) => *epochs,
                    None => {
                        let epochs = self.affordable(method, &begin, &train, share)?;
                        if epochs == 0 {
                            let why = format!("an epoch takes over {share:.1} s, its share");
                            found.left_out.push((method.to_owned(), why));
                            continue;
                        }
                        found.epochs.push((method.to_owned(), epochs));
                        epochs
                    }
                };
                self.settings(method, epochs, seed).fit(&mut begin, &train)?;
                let logits = crate::extract(&held, 64, |x, cx| begin.forward(x, cx))?;
                let reached = accuracy(logits.features(), &held.labels()?.into())?;
                found.trials.push(method, reached, start.seconds());
            }
        }
        conclude(&mut found)?;
        Ok(found)
    }

    fn check(&self) -> Result<()> {
        let wrong =
            |name, got: f64, expected: &str| Err(Error::argument("suggest", name, got, expected));
        if !(self.budget > 0.0 && self.budget.is_finite()) {
            return wrong("budget", self.budget, "seconds above 0");
        }
        if self.splits == 0 {
            return wrong("splits", 0.0, "at least 1; an interval needs 2");
        }
        if !(self.held_out > 0.0 && self.held_out < 1.0) {
            return wrong("held_out", self.held_out, "a part between 0 and 1");
        }
        Ok(())
    }

    fn settings(&self, method: &str, epochs: usize, seed: u64) -> FineTune {
        let method = match method {
            "LoRA" => Method::AsIs,
            _ => match &self.tune.method {
                full @ Method::Full { .. } => full.clone(),
                _ => Method::Full { body_rate: 0.1 },
            },
        };
        let mut tune =
            FineTune { method, checkpoints: None, checkpoint_every: None, ..self.tune.clone() };
        tune.patience = None;
        tune.epochs(epochs).seed(seed)
    }

    /// How many epochs fit a share of the budget, by the time of one.
    fn affordable<M: Forward>(
        &self,
        method: &str,
        begin: &M,
        train: &Dataset,
        share: f64,
    ) -> Result<usize> {
        let start = Clock::start();
        self.settings(method, 1, self.seed).fit(&mut begin.clone(), train)?;
        let one = start.seconds().max(1e-9);
        Ok(((share / one) as usize).min(self.tune.epochs))
    }
}

/// The winner, and by how much.
fn conclude(found: &mut Suggestion) -> Result<()> {
    let mean = |way: &str| found.trials.summary(way).map_or(f64::NEG_INFINITY, |s| s.mean);
    let mut order: Vec<String> = found.trials.ways.iter().map(|w| w.name.clone()).collect();
    // Stable: of equal ones the cheaper, which comes first.
    order.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
    let mut order = order.into_iter();
    found.winner = order.next().unwrap_or_default();
    found.runner_up = order.next();
    if let Some(second) = &found.runner_up {
        let (a, b) =
            (&found.trials.way(second)?.results, &found.trials.way(&found.winner)?.results);
        if a.len() == b.len() && a.len() > 1 {
            let Comparison { difference, p, .. } = paired_t_test(a, b)?;
            found.lead = Some(Lead { difference, p });
        }
    }
    Ok(())
}

impl Suggestion {
    /// Whether the winner's lead is more than chance, by the paired test at 5%.
    pub fn verdict(&self) -> Verdict {
        match self.lead {
            Some(lead) if lead.p < 0.05 => Verdict::Better,
            _ => Verdict::NoDifference,
        }
    }
}
