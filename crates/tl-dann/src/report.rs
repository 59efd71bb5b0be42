//! Several methods on the same domains.

use crate::{Adapted, Result, Validator};
use serde::{Deserialize, Serialize};
use std::fmt;
use tl_nn::metric::Trials;

/// Target accuracies of several methods over several seeds, beside what the
/// validators chose without target labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Target accuracy; the baseline is the first method, which should be
    /// [`SourceOnly`](crate::Method::SourceOnly).
    pub trials: Trials,
    /// For every seed, method and what each validator said of it.
    pub scores: Vec<Scored>,
}

/// What the validators say of one method for one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The seed.
    pub seed: u64,
    /// The method.
    pub method: String,
    /// Validators and their scores; higher is better.
    pub scores: Vec<(Validator, f64)>,
}

impl Report {
    /// No results yet on these domains.
    pub fn new(data: &str) -> Self {
        Self { trials: Trials::new(data, "target accuracy"), scores: Vec::new() }
    }

    /// Adds the result of a method for a seed. The target accuracy is for the
    /// report alone: nothing is chosen by it.
    pub fn add(&mut self, seed: u64, method: &str, run: &Adapted, accuracy: f64, seconds: f64) {
        self.trials.push(method, accuracy, seconds);
        let scores = run.scores.clone();
        self.scores.push(Scored { seed, method: method.to_owned(), scores });
    }

    /// The mean over seeds of the target accuracy of what a validator would have
    /// chosen, and of what an oracle would have.
    ///
    /// # Errors
    /// No results, or not as many for every method.
    pub fn chosen(&self, validator: Validator) -> Result<(f64, f64)> {
        let mut seeds: Vec<u64> = self.scores.iter().map(|s| s.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let (mut chosen, mut oracle) = (0.0, 0.0);
        for (at, seed) in seeds.iter().enumerate() {
            let mut best: Option<(f64, f64)> = None;
            let mut most = f64::NEG_INFINITY;
            for of in self.scores.iter().filter(|s| s.seed == *seed) {
                let way = self.trials.way(&of.method)?;
                let (Some(&accuracy), Some((_, score))) =
                    (way.results.get(at), of.scores.iter().find(|(v, _)| *v == validator))
                else {
                    continue;
                };
                most = most.max(accuracy);
                if best.is_none_or(|(b, _)| *score > b) {
                    best = Some((*score, accuracy));
                }
            }
            chosen += best.map_or(f64::NAN, |(_, a)| a);
            oracle += most;
        }
        let n = seeds.len() as f64;
        Ok((chosen / n, oracle / n))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trials.fmt(f)?;
        writeln!(f, "\nchosen without target labels (an oracle in brackets):")?;
        for validator in Validator::ALL {
            if let Ok((chosen, oracle)) = self.chosen(validator) {
                writeln!(f, "  {:<24} {chosen:.4} ({oracle:.4})", format!("{validator:?}"))?;
            }
        }
        Ok(())
    }
}
