//! Metrics, and how sure they are.
//!
//! - classes: [`accuracy`], [`top_k_accuracy`], [`Confusion`] (balanced and
//!   per-class accuracy, precision, recall, F1)
//! - scores: [`auroc`], [`average_precision`], [`expected_calibration_error`]
//! - real targets: [`mean_squared_error`], [`mean_absolute_error`], [`r2`]
//! - clusters: [`silhouette`]
//! - over several seeds: [`Summary`], [`paired_t_test`]; over the samples of
//!   one test set: [`bootstrap`], [`paired_bootstrap`], [`mcnemar`]

mod calibration;
mod classes;
mod cluster;
mod confusion;
mod interval;
mod paired;
mod ranking;
mod regression;
mod trials;

pub use calibration::expected_calibration_error;
pub use classes::{accuracy, predictions, top_k_accuracy};
pub use cluster::silhouette;
pub use confusion::{Average, Confusion};
pub use interval::{Interval, Summary, bootstrap};
pub use paired::{Comparison, mcnemar, paired_bootstrap, paired_t_test};
pub use ranking::{auroc, auroc_one_vs_rest, average_precision};
pub use regression::{mean_absolute_error, mean_squared_error, r2};
pub use trials::{Trials, Verdict, Way};

use crate::{Error, Result};

/// As many of both, and at least one.
fn same_length(what: &'static str, name: &'static str, got: usize, expected: usize) -> Result<()> {
    if expected == 0 {
        return Err(Error::argument(what, name, "empty", "at least one sample"));
    }
    if got != expected {
        let expected = format!("{expected}, as the other list");
        return Err(Error::argument(what, name, format!("a list of {got}"), expected));
    }
    Ok(())
}

/// No NaN: a metric over it would be any number.
fn numbers(what: &'static str, name: &'static str, list: &[f64]) -> Result<()> {
    match list.iter().position(|x| x.is_nan()) {
        Some(at) => Err(Error::argument(what, name, format!("NaN at {at}"), "numbers")),
        None => Ok(()),
    }
}
