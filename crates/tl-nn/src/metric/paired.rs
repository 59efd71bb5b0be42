//! Is one model better than another?

use super::{
    interval::{Interval, Summary, central, resample, student},
    same_length,
};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use statrs::distribution::{Binomial, ContinuousCDF, Discrete, DiscreteCDF};

/// The difference of two models, `b - a`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The mean difference.
    pub difference: f64,
    /// Its 95% interval.
    pub interval: Interval,
    /// The two-sided p-value: how likely a difference as large as this is if
    /// there is none.
    pub p: f64,
}

/// The paired t-test over runs with the same seeds and splits: `a[i]` and
/// `b[i]` are the results of run `i`.
///
/// ```
/// use tl_nn::metric::paired_t_test;
/// # fn main() -> tl_nn::Result<()> {
/// let c = paired_t_test(&[0.80, 0.82, 0.79, 0.81], &[0.84, 0.85, 0.84, 0.86])?;
/// assert!((c.difference - 0.0425).abs() < 1e-9 && c.p < 0.01);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Lists of different lengths or of fewer than two results; NaN.
pub fn paired_t_test(a: &[f64], b: &[f64]) -> Result<Comparison> {
    same_length("paired_t_test", "b", b.len(), a.len())?;
    if a.len() < 2 {
        return Err(Error::argument("paired_t_test", "a", "one result", "at least two"));
    }
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
    let summary = Summary::of(&differences)?;
    let error = summary.std / (summary.n as f64).sqrt();
    let p = if error == 0.0 {
        if summary.mean == 0.0 { 1.0 } else { 0.0 }
    } else {
        2.0 * student(summary.n - 1)?.sf((summary.mean / error).abs())
    };
    Ok(Comparison { difference: summary.mean, interval: summary.interval(), p })
}

/// The paired bootstrap over the samples of one test set: `a[i]` and `b[i]`
/// are the scores of the two models for sample `i`, such as 1 if right.
///
/// The p-value is twice the smaller part of draws on either side of 0.
///
/// # Errors
/// Lists of different lengths or empty; NaN; no draw.
pub fn paired_bootstrap(a: &[f64], b: &[f64], resamples: usize, seed: u64) -> Result<Comparison> {
    same_length("paired_bootstrap", "b", b.len(), a.len())?;
    let d: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
    let mean = |rows: &[usize]| rows.iter().map(|&i| d[i]).sum::<f64>() / rows.len() as f64;
    let all = resample("paired_bootstrap", d.len(), resamples, seed, mean)?;
    let (below, above) =
        (all.iter().filter(|&&x| x <= 0.0).count(), all.iter().filter(|&&x| x >= 0.0).count());
    let p = (2.0 * below.min(above) as f64 / all.len() as f64).min(1.0);
    let difference = d.iter().sum::<f64>() / d.len() as f64;
    Ok(Comparison { difference, interval: central(&all), p })
}

/// McNemar's exact test of two classifiers on one test set: the two-sided
/// p-value of the samples that only one of them gets right, which are split
/// evenly if both are equally good.
///
/// # Errors
/// Lists of different lengths or empty.
pub fn mcnemar(a_right: &[bool], b_right: &[bool]) -> Result<f64> {
    same_length("mcnemar", "b_right", b_right.len(), a_right.len())?;
    let only = |a: bool, b: bool| {
        a_right.iter().zip(b_right).filter(|&(&x, &y)| x == a && y == b).count() as u64
    };
    let (a, b) = (only(true, false), only(false, true));
    if a + b == 0 {
        return Ok(1.0);
    }
    let even = Binomial::new(0.5, a + b).map_err(|e| Error::Other(Box::new(e)))?;
    let tail = even.cdf(a.min(b));
    let both = if a == b { 2.0 * tail - even.pmf(a) } else { 2.0 * tail };
    Ok(both.min(1.0))
}
