//! Means and intervals.

use super::numbers;
use crate::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};
use std::fmt;

/// From `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The mean of several runs with its 95% confidence interval
/// `mean ± t · s / √n`, `t` from Student's distribution with `n - 1` degrees of
/// freedom.
///
/// ```
/// use tl_nn::metric::Summary;
/// # fn main() -> tl_nn::Result<()> {
/// let summary = Summary::of(&[0.90, 0.92, 0.94])?;
/// assert!((summary.mean - 0.92).abs() < 1e-12);
/// assert!((summary.ci95 - 4.303 * 0.02 / 3.0_f64.sqrt()).abs() < 1e-4);
/// assert_eq!(summary.to_string(), "0.920 ± 0.050");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many runs.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, with `n - 1`; 0 for a single run.
    pub std: f64,
    /// Half the width of the interval; infinite for a single run, of which
    /// nothing can be said.
    pub ci95: f64,
}

impl Summary {
    /// Of the results of several runs.
    ///
    /// # Errors
    /// No result; NaN.
    pub fn of(results: &[f64]) -> Result<Self> {
        numbers("summary", "results", results)?;
        let n = results.len();
        if n == 0 {
            return Err(Error::argument("summary", "results", "empty", "at least one result"));
        }
        let mean = results.iter().sum::<f64>() / n as f64;
        if n == 1 {
            return Ok(Self { n, mean, std: 0.0, ci95: f64::INFINITY });
        }
        let squares: f64 = results.iter().map(|x| (x - mean) * (x - mean)).sum();
        let std = (squares / (n - 1) as f64).sqrt();
        let ci95 = t_quantile(n - 1)? * std / (n as f64).sqrt();
        Ok(Self { n, mean, std, ci95 })
    }

    /// The interval.
    pub fn interval(&self) -> Interval {
        Interval { low: self.mean - self.ci95, high: self.mean + self.ci95 }
    }
}

/// As `0.920 ± 0.050`; the precision of the format is that of both numbers.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(3);
        write!(f, "{:.digits$} ± {:.digits$}", self.mean, self.ci95)
    }
}

/// Student's distribution.
pub(super) fn student(freedom: usize) -> Result<StudentsT> {
    StudentsT::new(0.0, 1.0, freedom as f64).map_err(|e| Error::Other(Box::new(e)))
}

fn t_quantile(freedom: usize) -> Result<f64> {
    Ok(student(freedom)?.inverse_cdf(0.975))
}

/// `resamples` draws of `n` of `n` samples with replacement, and the metric of
/// each.
pub(super) fn resample(
    what: &'static str,
    n: usize,
    resamples: usize,
    seed: u64,
    mut metric: impl FnMut(&[usize]) -> f64,
) -> Result<Vec<f64>> {
    if n == 0 || resamples == 0 {
        return Err(Error::argument(what, "n, resamples", "0", "at least 1 of each"));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut chosen = vec![0; n];
    let mut all = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        chosen.fill_with(|| rng.random_range(0..n));
        all.push(metric(&chosen));
    }
    numbers(what, "metric", &all)?;
    all.sort_by(f64::total_cmp);
    Ok(all)
}

/// The percentile bootstrap (Efron 1979): the central 95% of a metric over
/// `resamples` draws of the `n` samples of a test set, with replacement.
/// `metric` gets the positions drawn. 1,000 draws are usual.
///
/// ```
/// use tl_nn::metric::bootstrap;
/// # fn main() -> tl_nn::Result<()> {
/// let right: Vec<bool> = (0..200).map(|i| i % 10 != 0).collect(); // 90%
/// let accuracy = |rows: &[usize]| {
///     rows.iter().filter(|&&i| right[i]).count() as f64 / rows.len() as f64
/// };
/// let interval = bootstrap(200, 1000, 0, accuracy)?;
/// assert!(0.84 < interval.low && interval.low < 0.88 && 0.92 < interval.high);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Nothing to draw; the metric is NaN for a draw.
pub fn bootstrap(
    n: usize,
    resamples: usize,
    seed: u64,
    metric: impl FnMut(&[usize]) -> f64,
) -> Result<Interval> {
    let all = resample("bootstrap", n, resamples, seed, metric)?;
    Ok(central(&all))
}

/// The central 95% of a sorted list.
pub(super) fn central(sorted: &[f64]) -> Interval {
    let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part).round() as usize];
    Interval { low: at(0.025), high: at(0.975) }
}
