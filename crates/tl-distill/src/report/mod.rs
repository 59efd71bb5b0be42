//! What distillation gave: quality over seeds, size and speed.

mod html;
mod measure;
mod picture;

pub use measure::{Measured, macs};

use crate::{Distill, Result, agreement, outputs};
use serde::{Deserialize, Serialize};
use std::{fmt, path::Path};
use tl_data::Dataset;
use tl_nn::{
    Clock, Forward, Indices, Tensor,
    metric::{Comparison, Trials, Verdict, accuracy},
};

/// The name of the baseline in every report.
pub const NO_TEACHER: &str = "no teacher";

/// Networks side by side; the first is the teacher.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CompressionReport {
    /// One line for each network.
    pub networks: Vec<Measured>,
    /// Each way against the same student without a teacher, paired over seeds.
    #[serde(default)]
    pub paired: Vec<Paired>,
}

/// A way against the student without a teacher: the difference of accuracies,
/// seed by seed, with its 95% interval and p (paired t-test).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// The way.
    pub name: String,
    /// The difference.
    pub comparison: Comparison,
    /// What the test says at the 5% level.
    pub verdict: Verdict,
}

impl CompressionReport {
    /// Fills in the paired tests; none where there are fewer than two seeds.
    pub(crate) fn pair(&mut self, trials: &Trials) -> Result<()> {
        self.paired.clear();
        for way in trials.ways.iter().skip(1).filter(|w| w.results.len() > 1) {
            let name = way.name.clone();
            let comparison = trials.against_baseline(&name)?;
            let verdict = trials.verdict(&name)?;
            self.paired.push(Paired { name, comparison, verdict });
        }
        Ok(())
    }
}

impl fmt::Display for CompressionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.networks.iter().map(|m| m.name.chars().count()).max().unwrap_or(0).max(7);
        writeln!(
            f,
            "{:width$}  parameters     bytes      MACs   ms @1  ms @32  accuracy  agreement    ECE",
            "network"
        )?;
        for m in &self.networks {
            let macs = m.macs.map_or("unknown".to_owned(), |x| x.to_string());
            writeln!(
                f,
                "{:width$}  {:10}  {:8}  {macs:>8}  {:6.3}  {:6.3}  {:8.4}  {:9.4}  {:.3}",
                m.name,
                m.parameters,
                m.bytes,
                m.latency_1,
                m.latency_32,
                m.accuracy,
                m.agreement,
                m.calibration
            )?;
        }
        Ok(())
    }
}

/// What several ways of distilling gave, beside the same student without a
/// teacher: the same start, data, order and number of steps for every seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistillReport {
    /// Test accuracy by way and seed; the first way is [`NO_TEACHER`].
    pub trials: Trials,
    /// The part of the test set where a student names the teacher's class.
    pub agreement: Trials,
    /// The teacher and the students of the last seed.
    pub compression: CompressionReport,
}

impl DistillReport {
    /// The whole report as JSON.
    ///
    /// # Errors
    /// None that numbers could cause.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|e| tl_nn::Error::other(e).into())
    }

    /// The whole report as a page for the browser that needs nothing but
    /// itself: the tables, and a picture of size, accuracy and latency.
    pub fn to_html(&self) -> String {
        html::page(self)
    }

    /// The picture of that page as SVG: bytes from left to right, accuracy
    /// upwards, and a circle whose area is the median latency of 32 samples.
    pub fn to_svg(&self) -> String {
        picture::svg(&self.compression.networks)
    }

    /// Writes the page and, beside it, the JSON file.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn save(&self, html: impl AsRef<Path>) -> Result<()> {
        let html = html.as_ref();
        let write = |path: &Path, text: String| {
            let io = |source| tl_nn::Error::Io { path: path.to_owned(), source };
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(io)?;
            }
            std::fs::write(path, text).map_err(io)
        };
        write(html, self.to_html())?;
        Ok(write(&html.with_extension("json"), self.to_json()?)?)
    }
}

impl fmt::Display for DistillReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.trials, self.agreement, self.compression)
    }
}

/// Trains the same student without a teacher and in each of several ways, for
/// each seed, and tests all. `make(seed)` gives the student at its start.
///
/// # Errors
/// As [`Distill::fit`]; no way; a test set without classes.
pub fn compare<T: Forward, S: Forward>(
    name: &str,
    ways: &[(&str, Distill)],
    teacher: &T,
    mut make: impl FnMut(u64) -> S,
    [train, test]: [&Dataset; 2],
    seeds: u64,
) -> Result<DistillReport> {
    let Some((_, first)) = ways.first() else {
        return Err(crate::Error::argument("compare", "ways", "none", "at least one"));
    };
    let said = outputs(teacher, test.features())?;
    let labels = Indices::from(test.labels()?);
    let mut report = DistillReport {
        trials: Trials::new(name, "accuracy"),
        agreement: Trials::new(name, "agreement with the teacher"),
        compression: CompressionReport::default(),
    };
    report.compression.networks.push(Measured::of("teacher", teacher, test, &said)?);
    let alone = first.without_teacher();
    let all: Vec<(&str, &Distill)> =
        std::iter::once((NO_TEACHER, &alone)).chain(ways.iter().map(|(n, w)| (*n, w))).collect();
    for seed in 0..seeds {
        let mut alone: Option<Tensor> = None;
        for (way, setup) in &all {
            let mut student = make(seed);
            let start = Clock::start();
            (*setup).clone().seed(seed).fit(teacher, &mut student, train)?;
            let seconds = start.seconds();
            let logits = outputs(&student, test.features())?;
            report.trials.push(way, accuracy(&logits, &labels)?, seconds);
            report.agreement.push(way, agreement(&logits, &said)?, seconds);
            if seed + 1 == seeds {
                let mut measured = Measured::of(way, &student, test, &said)?;
                if let Some(alone) = &alone {
                    measured = measured.against(&logits, alone, test)?;
                }
                report.compression.networks.push(measured);
            }
            alone.get_or_insert(logits);
        }
    }
    report.compression.pair(&report.trials)?;
    Ok(report)
}

impl Distill {
    /// [`compare`] with this way alone, called "distilled".
    ///
    /// # Errors
    /// As there.
    pub fn compare<T: Forward, S: Forward>(
        &self,
        name: &str,
        teacher: &T,
        make: impl FnMut(u64) -> S,
        data: [&Dataset; 2],
        seeds: u64,
    ) -> Result<DistillReport> {
        compare(name, &[("distilled", self.clone())], teacher, make, data, seeds)
    }
}
