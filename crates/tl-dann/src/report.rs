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

/// What a validator and an oracle would have chosen for a seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The seed.
    pub seed: u64,
    /// The method that the validator says most of, and its target accuracy.
    pub chosen: (String, f64),
    /// The method with the largest target accuracy, and that.
    pub oracle: (String, f64),
}

/// The names that come most often, with their number.
fn most_often<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for name in names {
        match counts.iter_mut().find(|(n, _)| *n == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let names: Vec<String> = counts.iter().map(|(name, n)| format!("{name} x{n}")).collect();
    names.join(", ")
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

    /// For every seed the method that a validator would have chosen and the one
    /// that an oracle would have, each with its target accuracy.
    ///
    /// # Errors
    /// No results, or not as many for every method.
    pub fn choices(&self, validator: Validator) -> Result<Vec<Choice>> {
        let mut seeds: Vec<u64> = self.scores.iter().map(|s| s.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        if seeds.is_empty() {
            return Err(crate::Error::argument("report", "results", "none", "at least one"));
        }
        let mut all = Vec::with_capacity(seeds.len());
        for (at, seed) in seeds.into_iter().enumerate() {
            let mut best: Option<(f64, (&str, f64))> = None;
            let mut oracle: Option<(&str, f64)> = None;
            for of in self.scores.iter().filter(|s| s.seed == seed) {
                let way = self.trials.way(&of.method)?;
                let (Some(&accuracy), Some((_, score))) =
                    (way.results.get(at), of.scores.iter().find(|(v, _)| *v == validator))
                else {
                    continue;
                };
                let this = (of.method.as_str(), accuracy);
                if oracle.is_none_or(|(_, most)| accuracy > most) {
                    oracle = Some(this);
                }
                if best.is_none_or(|(b, _)| *score > b) {
                    best = Some((*score, this));
                }
            }
            let (Some((_, chosen)), Some(oracle)) = (best, oracle) else {
                let expected = "a result of every method for every seed";
                return Err(crate::Error::argument("report", "results", "none", expected));
            };
            let own = |(name, accuracy): (&str, f64)| (name.to_owned(), accuracy);
            all.push(Choice { seed, chosen: own(chosen), oracle: own(oracle) });
        }
        Ok(all)
    }

    /// The mean over seeds of the target accuracy of what a validator would have
    /// chosen, and of what an oracle would have.
    ///
    /// # Errors
    /// As [`choices`](Self::choices).
    pub fn chosen(&self, validator: Validator) -> Result<(f64, f64)> {
        let all = self.choices(validator)?;
        let n = all.len().max(1) as f64;
        let sum = |of: fn(&Choice) -> f64| all.iter().map(of).sum::<f64>() / n;
        Ok((sum(|c| c.chosen.1), sum(|c| c.oracle.1)))
    }

    /// How much of the way from the baseline to a bound (such as a model with
    /// target labels, added to the trials under that name) a method goes: 0 for no
    /// better than the baseline, 1 for as good as the bound.
    ///
    /// # Errors
    /// No such method or bound.
    pub fn gap_closed(&self, method: &str, bound: &str) -> Result<f64> {
        let mean = |name: &str| -> Result<f64> { Ok(self.trials.summary(name)?.mean) };
        let base = self.trials.baseline().map_or("", |way| way.name.as_str());
        let (base, bound) = (mean(base)?, mean(bound)?);
        Ok((mean(method)? - base) / (bound - base))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trials.fmt(f)?;
        writeln!(f, "\nchosen without target labels (an oracle in brackets):")?;
        for validator in Validator::ALL {
            let Ok(all) = self.choices(validator) else { continue };
            let Ok((chosen, oracle)) = self.chosen(validator) else { continue };
            let names = most_often(all.iter().map(|c| c.chosen.0.as_str()));
            let name = format!("{validator:?}");
            writeln!(f, "  {name:<24} {chosen:.4} ({oracle:.4}): {names}")?;
        }
        if let Ok(all) = self.choices(Validator::default()) {
            let names = most_often(all.iter().map(|c| c.oracle.0.as_str()));
            writeln!(f, "an oracle would have chosen: {names}")?;
        }
        Ok(())
    }
}
