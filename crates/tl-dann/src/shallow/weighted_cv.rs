//! Cross-validation under a shift.

use crate::{Error, Result};
use rand::{RngCore, seq::SliceRandom};

/// Importance-weighted cross-validation (Sugiyama et al. 2007, eq. 4): the error
/// that a learner would have on the target, from source samples alone: the mean
/// over held-out source samples of `w(x)` where the prediction is wrong. `weights`
/// are those of [`logistic_ratio`](crate::logistic_ratio) or
/// [`kernel_mean_matching`](crate::kernel_mean_matching). Unbiased if only the
/// features are distributed differently, and noisy if a few weights are large.
///
/// `learn` gets the samples to learn from and those to predict.
/// ```
/// use tl_dann::importance_weighted_risk;
/// # use rand::SeedableRng;
/// # fn main() -> tl_dann::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let labels = [0, 1, 0, 1, 0, 1];
/// let weights = [0.5, 1.5, 0.5, 1.5, 0.5, 1.5];
/// // A learner that always says 0 is wrong where the target mostly is.
/// let risk = importance_weighted_risk(&weights, &labels, 3, &mut rng, |_, test| {
///     Ok(vec![0; test.len()])
/// })?;
/// assert!((risk - 0.75).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Lists of different lengths; fewer than two folds or more than samples; a weight
/// that is negative or NaN; those of `learn`, or another number of predictions
/// than asked for.
pub fn importance_weighted_risk(
    weights: &[f64],
    labels: &[usize],
    folds: usize,
    rng: &mut dyn RngCore,
    mut learn: impl FnMut(&[usize], &[usize]) -> Result<Vec<usize>>,
) -> Result<f64> {
    let n = labels.len();
    let wrong = |name, got: String, expected: String| {
        Err(Error::argument("weighted cross-validation", name, got, expected))
    };
    if weights.len() != n || weights.iter().any(|w| !(w.is_finite() && *w >= 0.0)) {
        return wrong("weights", weights.len().to_string(), format!("{n}, none below 0"));
    }
    if folds < 2 || folds > n {
        return wrong("folds", folds.to_string(), format!("2 to {n}, the samples"));
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(rng);
    let mut sum = 0.0;
    for fold in 0..folds {
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for (at, &i) in order.iter().enumerate() {
            if at % folds == fold { &mut test } else { &mut train }.push(i);
        }
        let said = learn(&train, &test)?;
        if said.len() != test.len() {
            return wrong("predictions", said.len().to_string(), test.len().to_string());
        }
        let errors = said.iter().zip(&test).filter(|(said, i)| **said != labels[**i]);
        sum += errors.map(|(_, &i)| weights[i]).sum::<f64>();
    }
    Ok(sum / n as f64)
}
