//! Balancers beside single-task models.

use crate::{Result, delta_m};
use serde::{Deserialize, Serialize};
use std::fmt;
use tl_nn::metric::Trials;

/// Results of several ways of sharing on several tasks, over several seeds. The
/// first way must be a model of its own for each task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// One for each task.
    pub tasks: Vec<Trials>,
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

    /// [`delta_m`] of a way.
    ///
    /// # Errors
    /// No such way.
    pub fn delta_m(&self, way: &str) -> Result<f64> {
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
                writeln!(f, "  {:<24} Δm {:+.2}%", way.name, 100.0 * delta)?;
            }
        }
        Ok(())
    }
}
