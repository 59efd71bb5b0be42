//! The rows that every example writes with `--json`.

use super::Outcome;
use serde::Serialize;
use std::path::Path;
use transfer_learning::nn::metric::{Summary, Trials};

/// A result over several seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Side {
    /// What was done.
    pub name: String,
    /// The mean over the seeds.
    pub mean: f64,
    /// Half the width of its 95% interval.
    pub ci95: f64,
}

impl Side {
    /// Of several seeds.
    pub fn new(name: &str, summary: Summary) -> Self {
        Self { name: name.to_owned(), mean: summary.mean, ci95: summary.ci95 }
    }
}

/// A technique beside its baseline.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The technique.
    pub technique: String,
    /// The data, from where to where.
    pub data: String,
    /// What was measured.
    pub metric: String,
    /// Without the technique.
    pub baseline: Side,
    /// With it.
    pub result: Side,
    /// How many seeds.
    pub seeds: u64,
    /// Seconds of training and testing for the result, over all seeds.
    pub seconds: f64,
}

impl Row {
    /// A way of several trials beside their baseline.
    pub fn of(technique: &str, trials: &Trials, way: &str) -> Outcome<Self> {
        let baseline = trials.baseline().map_or("", |w| w.name.as_str());
        let result = trials.way(way)?;
        Ok(Self {
            technique: technique.to_owned(),
            data: trials.data.clone(),
            metric: trials.metric.clone(),
            baseline: Side::new(baseline, trials.summary(baseline)?),
            result: Side::new(way, trials.summary(way)?),
            seeds: result.results.len() as u64,
            seconds: result.seconds.iter().sum(),
        })
    }
}

#[derive(Serialize)]
struct File<'a> {
    rows: &'a [Row],
}

/// Writes `{"rows": [..]}`.
pub fn write(path: &Path, rows: &[Row]) -> Outcome {
    let text = serde_json::to_string_pretty(&File { rows })?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(path, text + "\n")?)
}
