//! What an adaptation did to each class: for reports, with target labels.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use tl_nn::metric::mcnemar;

/// One class before and after.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassTransfer {
    /// Its samples.
    pub samples: usize,
    /// The part that was right before.
    pub before: f64,
    /// The part that is right after.
    pub after: f64,
    /// McNemar's p-value of the difference.
    pub p: f64,
}

/// Predictions of the source model and of the adapted one on labelled target
/// samples. It looks at target labels, so it is for the report alone: choose by a
/// [`Validator`](crate::Validator).
///
/// ```
/// use tl_dann::Transfer;
/// # fn main() -> tl_dann::Result<()> {
/// let truth = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1];
/// let before = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// let after = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
/// let transfer = Transfer::new(&before, &after, &truth, 2)?;
/// assert_eq!(transfer.harmed(), [0]); // class 0 is recognised less often
/// assert!(transfer.is_negative());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// All samples.
    pub all: ClassTransfer,
    /// Each class; those without samples have parts that are NaN.
    pub classes: Vec<ClassTransfer>,
}

impl Transfer {
    /// Compares two lists of predictions.
    ///
    /// # Errors
    /// Lists of different lengths, or empty ones.
    pub fn new(before: &[usize], after: &[usize], truth: &[usize], classes: usize) -> Result<Self> {
        if before.len() != truth.len() || after.len() != truth.len() || truth.is_empty() {
            let got = format!("{} and {} for {}", before.len(), after.len(), truth.len());
            let expected = "one prediction for each label, at least one";
            return Err(Error::argument("transfer", "predictions", got, expected));
        }
        let of = |class: Option<usize>| -> Result<ClassTransfer> {
            let own = (0..truth.len()).filter(|&i| class.is_none_or(|c| truth[i] == c));
            let pairs: Vec<(bool, bool)> =
                own.map(|i| (before[i] == truth[i], after[i] == truth[i])).collect();
            let part = |right: usize| right as f64 / pairs.len() as f64;
            let (b, a): (Vec<bool>, Vec<bool>) = pairs.iter().copied().unzip();
            let count = |list: &[bool]| list.iter().filter(|x| **x).count();
            let p = if pairs.is_empty() { 1.0 } else { mcnemar(&b, &a)? };
            Ok(ClassTransfer {
                samples: pairs.len(),
                before: part(count(&b)),
                after: part(count(&a)),
                p,
            })
        };
        let classes = (0..classes).map(|c| of(Some(c))).collect::<Result<_>>()?;
        Ok(Self { all: of(None)?, classes })
    }

    /// The classes that are recognised less often, beyond chance: McNemar's test at
    /// 5% over the number of classes (Bonferroni).
    pub fn harmed(&self) -> Vec<usize> {
        let level = 0.05 / self.classes.len().max(1) as f64;
        let worse = |c: &ClassTransfer| c.after < c.before && c.p < level;
        (0..self.classes.len()).filter(|&i| worse(&self.classes[i])).collect()
    }

    /// Whether the adapted model is worse over all, beyond chance at 5%: negative
    /// transfer.
    pub fn is_negative(&self) -> bool {
        self.all.after < self.all.before && self.all.p < 0.05
    }
}

/// A line for each class, and a warning where there is one to give.
impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, class) in self.classes.iter().enumerate() {
            let (before, after) = (class.before, class.after);
            writeln!(f, "  class {i}: {before:.3} -> {after:.3} ({} samples)", class.samples)?;
        }
        if self.is_negative() {
            let (before, after) = (self.all.before, self.all.after);
            writeln!(f, "negative transfer: {before:.3} -> {after:.3} over all classes")?;
        }
        let harmed = self.harmed();
        if !harmed.is_empty() {
            writeln!(f, "classes that are recognised less often: {harmed:?}")?;
        }
        Ok(())
    }
}

/// How well known and unknown classes of an open set are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenSet {
    /// OS*: the mean over known classes of the part that is right.
    pub known: f64,
    /// UNK: the part of unknown samples that are called so.
    pub unknown: f64,
    /// HOS, their harmonic mean (Bucci et al. 2020): 0 if either is 0.
    pub harmonic: f64,
}

impl OpenSet {
    /// From predictions and labels in which `known` and above is unknown.
    ///
    /// # Errors
    /// Lists of different lengths; no known or no unknown sample.
    pub fn new(predicted: &[usize], truth: &[usize], known: usize) -> Result<Self> {
        let right = |class: Option<usize>| {
            let own: Vec<usize> = (0..truth.len())
                .filter(|&i| class.map_or(truth[i] >= known, |c| truth[i] == c))
                .collect();
            let hit = |&&i: &&usize| match class {
                Some(c) => predicted[i] == c,
                None => predicted[i] >= known,
            };
            (!own.is_empty()).then(|| own.iter().filter(hit).count() as f64 / own.len() as f64)
        };
        let bad = |got: String| {
            let expected = "one prediction for each label, with known and unknown samples";
            Error::argument("open set", "predictions", got, expected)
        };
        if predicted.len() != truth.len() {
            return Err(bad(format!("{} for {}", predicted.len(), truth.len())));
        }
        let parts: Vec<f64> = (0..known).filter_map(|c| right(Some(c))).collect();
        let (Some(unknown), false) = (right(None), parts.is_empty()) else {
            return Err(bad("samples of one kind only".to_owned()));
        };
        let known = parts.iter().sum::<f64>() / parts.len() as f64;
        let sum = known + unknown;
        let harmonic = if sum > 0.0 { 2.0 * known * unknown / sum } else { 0.0 };
        Ok(Self { known, unknown, harmonic })
    }
}
