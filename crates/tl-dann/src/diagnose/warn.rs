//! What looks wrong without target labels.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use tl_nn::{Tensor, metric::predictions};

/// A sign of negative transfer that shows without target labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Warning {
    /// Classes of the source that no target sample is predicted as: right in
    /// partial adaptation, else a class that was lost.
    NeverPredicted(Vec<usize>),
    /// A class is predicted much more often than the source has it: predictions
    /// collapse, or the classes of the domains differ in frequency.
    Dominant {
        /// The class.
        class: usize,
        /// The part of the target that is predicted as it.
        predicted: f64,
        /// The part of the source that has it.
        source: f64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverPredicted(classes) => {
                write!(
                    f,
                    "no target sample is predicted as class {classes:?}: if the target has \
                           them, lower the weight or try another method"
                )
            }
            Self::Dominant { class, predicted, source } => {
                let (target, source) = (100.0 * predicted, 100.0 * source);
                write!(
                    f,
                    "{target:.0}% of the target is predicted as class {class}, which is \
                           {source:.0}% of the source: compare with source only"
                )
            }
        }
    }
}

/// The warnings that target logits `[n, c]` and source labels give reason for: a
/// class of the source that is never predicted, and one that is predicted three
/// times as often as the source has it (and for a tenth of the target or more).
///
/// # Errors
/// Logits that are no matrix, or of no sample; no source labels.
pub fn warnings(target_logits: &Tensor, source_labels: &[usize]) -> Result<Vec<Warning>> {
    let said = predictions(target_logits)?;
    let classes = target_logits.size(1)?;
    if said.is_empty() || source_labels.is_empty() {
        let got = format!("{} and {}", said.len(), source_labels.len());
        return Err(Error::argument("warnings", "samples", got, "one or more of each domain"));
    }
    let parts = |labels: &[usize]| -> Vec<f64> {
        let count = |c: usize| labels.iter().filter(|&&l| l == c).count() as f64;
        (0..classes).map(|c| count(c) / labels.len() as f64).collect()
    };
    let (target, source) = (parts(&said), parts(source_labels));
    let mut found = Vec::new();
    let never: Vec<usize> = (0..classes).filter(|&c| target[c] == 0.0 && source[c] > 0.0).collect();
    if !never.is_empty() {
        found.push(Warning::NeverPredicted(never));
    }
    for class in 0..classes {
        let (predicted, had) = (target[class], source[class]);
        if had > 0.0 && predicted > 0.1 && predicted > 3.0 * had {
            found.push(Warning::Dominant { class, predicted, source: had });
        }
    }
    Ok(found)
}
