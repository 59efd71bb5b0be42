//! Balancers beside single-task models.

use crate::{Balance, Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use tl_nn::{
    Clock,
    metric::{Summary, Trials},
};

/// The name of the baseline of [`compare`].
pub const SINGLE: &str = "a model for each task";

/// Results of several ways of sharing on several tasks, over several seeds. The
/// first way must be a model of its own for each task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// One for each task.
    pub tasks: Vec<Trials>,
}

/// Trains every way over these seeds, beside models that were really trained for
/// one task each, and reports all. `tasks` are data, metric and whether more is
/// better. `run` trains with a balance and returns the metric of every task, or,
/// for `None`, trains on the single task that it is told (`Some(task)`) and
/// returns its metric alone.
///
/// # Errors
/// Those of `run`; not a result for each task.
pub fn compare<E: From<Error>>(
    tasks: &[(&str, &str, bool)],
    ways: &[(String, Balance)],
    seeds: u64,
    mut run: impl FnMut(Option<usize>, Option<&Balance>, u64) -> Result<Vec<f64>, E>,
) -> Result<Report, E> {
    let mut report = Report::new(tasks);
    for seed in 0..seeds {
        let start = Clock::start();
        let mut single = Vec::with_capacity(tasks.len());
        for task in 0..tasks.len() {
            single.extend(run(Some(task), None, seed)?);
        }
        report.try_add(SINGLE, &single, start.seconds())?;
        for (name, balance) in ways {
            let start = Clock::start();
            let results = run(None, Some(balance), seed)?;
            report.try_add(name, &results, start.seconds())?;
        }
    }
    Ok(report)
}

impl Report {
    /// No results yet on these tasks: data, metric, and whether more is better.
    pub fn new(tasks: &[(&str, &str, bool)]) -> Self {
        let trials = |(data, metric, higher): &(&str, &str, bool)| {
            let trials = Trials::new(data, metric);
            if *higher { trials } else { trials.lower_is_better() }
        };
        Self { tasks: tasks.iter().map(trials).collect() }
    }

    /// Adds the results of all tasks for the next seed of a way.
    pub fn add(&mut self, way: &str, results: &[f64], seconds: f64) {
        for (trials, result) in self.tasks.iter_mut().zip(results) {
            trials.push(way, *result, seconds);
        }
    }

    fn try_add(&mut self, way: &str, results: &[f64], seconds: f64) -> Result<()> {
        if results.len() != self.tasks.len() {
            let expected = format!("{}, one for each task", self.tasks.len());
            return Err(Error::argument("comparison", "results", results.len(), expected));
        }
        self.add(way, results, seconds);
        Ok(())
    }

    /// [`delta_m`] of a way.
    ///
    /// # Errors
    /// As there.
    pub fn delta_m(&self, way: &str) -> Result<Summary> {
        delta_m(&self.tasks, way)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for trials in &self.tasks {
            writeln!(f, "{trials}")?;
        }
        for way in self.tasks.first().map_or(&[][..], |t| &t.ways[..]).iter().skip(1) {
            if let Ok(delta) = self.delta_m(&way.name) {
                let (mean, half) = (100.0 * delta.mean, 100.0 * delta.ci95);
                writeln!(f, "  {:<24} Δm {mean:+.2}% ± {half:.2}", way.name)?;
            }
        }
        Ok(())
    }
}

/// `Δm`: the mean over tasks of the relative gain on a model of its own for each
/// task, `±(multi - single) / single` (Maninis et al. 2019, eq. 4), positive
/// where sharing helps. Each task is a [`Trials`] whose baseline is the
/// single-task model. One number a seed, against the mean baseline; the result
/// has their mean and 95% interval.
///
/// # Errors
/// No task; a way that is not there; other numbers of seeds; a baseline of 0.
pub fn delta_m(tasks: &[Trials], way: &str) -> Result<Summary> {
    let mut seeds: Vec<f64> = Vec::new();
    for (at, trials) in tasks.iter().enumerate() {
        let base = trials.baseline().map_or("", |w| w.name.as_str());
        let single = trials.summary(base)?.mean;
        if single == 0.0 {
            return Err(Error::argument("delta m", "baseline", 0, "a result other than 0"));
        }
        let results = &trials.way(way)?.results;
        if at == 0 {
            seeds = vec![0.0; results.len()];
        }
        if results.len() != seeds.len() {
            let expected = format!("{} seeds, as for the first task", seeds.len());
            return Err(Error::argument("delta m", "seeds", results.len(), expected));
        }
        let sign = if trials.higher_is_better { 1.0 } else { -1.0 };
        for (sum, multi) in seeds.iter_mut().zip(results) {
            *sum += sign * (multi - single) / single.abs() / tasks.len() as f64;
        }
    }
    if seeds.is_empty() {
        return Err(Error::argument("delta m", "tasks", "none", "at least one with results"));
    }
    Ok(Summary::of(&seeds)?)
}
