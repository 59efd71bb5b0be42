//! Several methods on the same tasks.

use crate::{Evaluation, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use tl_nn::metric::Trials;

/// What became of several methods over several seeds of meta-training, on the
/// same test tasks. The first method is the baseline.
///
/// ```
/// use tl_maml::{Curves, Maml, Protocol, Report, evaluate, mse};
/// # use rand::SeedableRng;
/// # fn main() -> tl_maml::Result<()> {
/// let tasks = Curves::sinusoid();
/// let mut report = Report::new("sinusoids, 10 points");
/// for seed in 0..2 {
///     let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
///     for (name, steps) in [("as it begins", 0), ("one step", 1)] {
///         let maml = Maml::new(steps, 0.01);
///         let learner = maml.learner(tl_nn::Linear::new(1, 1, &mut rng))?;
///         let result =
///             evaluate(&maml.predictor(&learner, mse), &tasks, 20, 7, Protocol::Inductive)?;
///         report.add(name, result, 0.0);
///     }
/// }
/// assert!(report.to_string().contains("one step"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// A method's result for a seed is its mean over the test tasks.
    pub trials: Trials,
    /// Every evaluation: method, and results step by step.
    pub evaluations: Vec<(String, Evaluation)>,
}

impl Report {
    /// No results yet on this data.
    pub fn new(data: &str) -> Self {
        Self { trials: Trials::new(data, "accuracy"), evaluations: Vec::new() }
    }

    /// Adds the next seed of a method and the seconds that it took. The first
    /// method is the baseline.
    pub fn add(&mut self, method: &str, evaluation: Evaluation, seconds: f64) {
        if self.evaluations.is_empty() {
            self.trials.metric.clone_from(&evaluation.metric);
            self.trials.higher_is_better = evaluation.metric == "accuracy";
        }
        self.trials.push(method, evaluation.last().mean, seconds);
        self.evaluations.push((method.to_owned(), evaluation));
    }

    /// The results of one method after each number of inner steps, a mean over
    /// the seeds.
    ///
    /// # Errors
    /// No such method.
    pub fn by_step(&self, method: &str) -> Result<Vec<(usize, f64)>> {
        let _ = self.trials.way(method)?;
        let of: Vec<&Evaluation> =
            self.evaluations.iter().filter(|(m, _)| m == method).map(|(_, e)| e).collect();
        let steps = of.first().map_or(&[][..], |e| &e.steps[..]);
        let mean = |at: usize| {
            let all: Vec<f64> =
                of.iter().filter_map(|e| e.steps.get(at).map(|(_, s)| s.mean)).collect();
            all.iter().sum::<f64>() / all.len() as f64
        };
        Ok(steps.iter().enumerate().map(|(at, (step, _))| (*step, mean(at))).collect())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trials.fmt(f)
    }
}
