//! Several ways of learning, over the same seeds, beside one baseline.

use super::{Comparison, Summary, paired_t_test};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One way of learning: its result and its seconds for every seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Way {
    /// What was done.
    pub name: String,
    /// The metric, a number a seed.
    pub results: Vec<f64>,
    /// How long it took, a number a seed.
    pub seconds: Vec<f64>,
}

/// What the paired test says of a way and the baseline, at the 5% level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is better than the baseline.
    Better,
    /// It is worse than the baseline.
    Worse,
    /// These seeds do not tell the two apart.
    NoDifference,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NoDifference => "no difference shown",
        })
    }
}

/// The results of several ways of learning over the same seeds. The first way
/// is the baseline that the others are compared with, seed by seed.
///
/// ```
/// use tl_nn::metric::{Trials, Verdict};
/// # fn main() -> tl_nn::Result<()> {
/// let mut trials = Trials::new("digits", "accuracy");
/// for (scratch, tuned) in [(0.80, 0.84), (0.82, 0.85), (0.79, 0.84), (0.81, 0.86)] {
///     trials.push("from scratch", scratch, 1.0);
///     trials.push("fine-tuned", tuned, 1.1);
/// }
/// assert_eq!(trials.verdict("fine-tuned")?, Verdict::Better);
/// assert!((trials.against_baseline("fine-tuned")?.difference - 0.0425).abs() < 1e-9);
/// println!("{trials}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trials {
    /// What was learned, such as "MNIST 8x8 -> UCI digits".
    pub data: String,
    /// What was measured, such as "accuracy".
    pub metric: String,
    /// Whether a larger number is better. Default: yes.
    pub higher_is_better: bool,
    /// The ways, in the order of their first result; the first is the baseline.
    pub ways: Vec<Way>,
}

impl Trials {
    /// No results yet.
    pub fn new(data: &str, metric: &str) -> Self {
        Self {
            data: data.to_owned(),
            metric: metric.to_owned(),
            higher_is_better: true,
            ways: Vec::new(),
        }
    }

    /// For a metric such as an error.
    #[must_use]
    pub fn lower_is_better(mut self) -> Self {
        self.higher_is_better = false;
        self
    }

    /// Adds the result of the next seed of a way. The first way is the
    /// baseline.
    pub fn push(&mut self, way: &str, result: f64, seconds: f64) {
        let at = self.ways.iter().position(|w| w.name == way).unwrap_or_else(|| {
            self.ways.push(Way { name: way.to_owned(), results: Vec::new(), seconds: Vec::new() });
            self.ways.len() - 1
        });
        self.ways[at].results.push(result);
        self.ways[at].seconds.push(seconds);
    }

    /// The way that others are compared with, if there is any.
    pub fn baseline(&self) -> Option<&Way> {
        self.ways.first()
    }

    /// The way of that name.
    ///
    /// # Errors
    /// There is none; the error names those that exist.
    pub fn way(&self, name: &str) -> Result<&Way> {
        self.ways.iter().find(|w| w.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.ways.iter().map(|w| w.name.as_str()).collect();
            Error::argument("trials", "way", name, format!("one of: {}", known.join(", ")))
        })
    }

    /// Mean and interval of a way.
    ///
    /// # Errors
    /// No such way; a result that is NaN.
    pub fn summary(&self, way: &str) -> Result<Summary> {
        Summary::of(&self.way(way)?.results)
    }

    /// The way's results minus the baseline's, seed by seed.
    ///
    /// # Errors
    /// No such way; fewer than two seeds; ways with different numbers of seeds.
    pub fn against_baseline(&self, way: &str) -> Result<Comparison> {
        let way = self.way(way)?;
        paired_t_test(&self.ways[0].results, &way.results)
    }

    /// Whether the way beats the baseline.
    ///
    /// # Errors
    /// As [`against_baseline`](Self::against_baseline).
    pub fn verdict(&self, way: &str) -> Result<Verdict> {
        let comparison = self.against_baseline(way)?;
        Ok(if comparison.p >= 0.05 {
            Verdict::NoDifference
        } else if (comparison.difference > 0.0) == self.higher_is_better {
            Verdict::Better
        } else {
            Verdict::Worse
        })
    }

    /// The way with the best mean.
    ///
    /// # Errors
    /// No results at all; a result that is NaN.
    pub fn best(&self) -> Result<&Way> {
        let mut best: Option<(&Way, f64)> = None;
        for way in &self.ways {
            let mean = Summary::of(&way.results)?.mean;
            let wins = best.is_none_or(|(_, b)| (mean > b) == self.higher_is_better && mean != b);
            if wins {
                best = Some((way, mean));
            }
        }
        best.map(|(way, _)| way)
            .ok_or_else(|| Error::argument("trials", "ways", "none", "at least one result"))
    }
}

/// A table with a line for each way.
impl fmt::Display for Trials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.ways.iter().map(|w| w.name.chars().count()).max().unwrap_or(0);
        writeln!(f, "{}, {}", self.data, self.metric)?;
        for (at, way) in self.ways.iter().enumerate() {
            let seconds: f64 = way.seconds.iter().sum();
            write!(f, "  {:width$}  ", way.name)?;
            match Summary::of(&way.results) {
                Ok(summary) if summary.n > 1 => write!(f, "{summary:.4}")?,
                Ok(summary) => write!(f, "{:.4} (one seed)", summary.mean)?,
                Err(_) => write!(f, "not a number")?,
            }
            write!(f, "  {} seeds, {seconds:.1} s", way.results.len())?;
            match (at, self.against_baseline(&way.name)) {
                (0, _) => write!(f, "  (baseline)")?,
                (_, Ok(c)) => {
                    let verdict = self.verdict(&way.name).map_err(|_| fmt::Error)?;
                    write!(f, "  {:+.4}, p = {:.3}: {verdict}", c.difference, c.p)?;
                }
                (_, Err(_)) => {}
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors() -> Trials {
        let mut trials = Trials::new("sinusoid", "MSE").lower_is_better();
        for (a, b, c) in [(3.0, 1.0, 3.1), (3.2, 1.2, 3.0), (2.9, 0.9, 3.0)] {
            trials.push("zero", a, 0.1);
            trials.push("adapted", b, 0.5);
            trials.push("other", c, 0.5);
        }
        trials
    }

    #[test]
    fn lower_numbers_can_be_better() -> Result<()> {
        let trials = errors();
        assert_eq!(trials.verdict("adapted")?, Verdict::Better);
        assert_eq!(trials.verdict("other")?, Verdict::NoDifference);
        assert_eq!(trials.best()?.name, "adapted");
        assert_eq!(trials.baseline().map(|w| w.name.as_str()), Some("zero"));
        let table = trials.to_string();
        assert!(table.contains("(baseline)") && table.contains("better"), "{table}");
        Ok(())
    }

    #[test]
    fn an_unknown_way_names_those_that_exist() {
        let error = errors().summary("adaptd").unwrap_err().to_string();
        assert!(error.contains("zero, adapted, other"), "{error}");
    }

    #[test]
    fn a_worse_way_is_called_worse() -> Result<()> {
        let mut trials = Trials::new("digits", "accuracy");
        for (a, b) in [(0.9, 0.7), (0.91, 0.72), (0.92, 0.71)] {
            trials.push("source only", a, 1.0);
            trials.push("adapted", b, 1.0);
        }
        assert_eq!(trials.verdict("adapted")?, Verdict::Worse);
        Ok(())
    }
}
