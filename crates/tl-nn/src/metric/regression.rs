//! Errors of real predictions.

use super::{numbers, same_length};
use crate::{Error, Result};

fn check(what: &'static str, predicted: &[f64], truth: &[f64]) -> Result<()> {
    same_length(what, "truth", truth.len(), predicted.len())?;
    numbers(what, "predicted", predicted)?;
    numbers(what, "truth", truth)
}

fn mean(list: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = list.len() as f64;
    list.sum::<f64>() / n
}

/// The mean of `(ŷ - y)²`.
///
/// # Errors
/// Lists of different lengths; NaN; no sample.
pub fn mean_squared_error(predicted: &[f64], truth: &[f64]) -> Result<f64> {
    check("mean_squared_error", predicted, truth)?;
    Ok(mean(predicted.iter().zip(truth).map(|(p, t)| (p - t) * (p - t))))
}

/// The mean of `|ŷ - y|`.
///
/// # Errors
/// Lists of different lengths; NaN; no sample.
pub fn mean_absolute_error(predicted: &[f64], truth: &[f64]) -> Result<f64> {
    check("mean_absolute_error", predicted, truth)?;
    Ok(mean(predicted.iter().zip(truth).map(|(p, t)| (p - t).abs())))
}

/// The part of the variance that is explained: `1 - Σ(y - ŷ)² / Σ(y - ȳ)²`.
///
/// # Errors
/// Lists of different lengths; NaN; true values that are all equal.
pub fn r2(predicted: &[f64], truth: &[f64]) -> Result<f64> {
    check("r2", predicted, truth)?;
    let center = mean(truth.iter().copied());
    let spread: f64 = truth.iter().map(|t| (t - center) * (t - center)).sum();
    if spread == 0.0 {
        return Err(Error::argument("r2", "truth", "all equal", "values that differ"));
    }
    Ok(1.0 - mean_squared_error(predicted, truth)? * truth.len() as f64 / spread)
}
