//! Feature extraction: a frozen model and a simple learner on top.

use crate::{Error, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_data::{Batching, Dataset};
use tl_nn::{Ctx, Linear, Tensor, shallow::LogisticRegression};

/// The features of all samples, in order, in batches, without gradients, in
/// evaluation mode: `extract` is a method of a model such as `Net::features`.
///
/// # Errors
/// Those of `extract`; features that are not `[n, ..]`; a batch size of 0.
pub fn extract(
    data: &Dataset,
    batch: usize,
    mut extract: impl FnMut(&Tensor, &mut Ctx) -> tl_nn::Result<Tensor>,
) -> Result<Dataset> {
    let mut parts = Vec::new();
    for part in data.batches(Batching::new(batch))?.epoch(0) {
        let part = part?;
        let features = extract(&part.features, &mut Ctx::eval())?.detach();
        if features.dims().first() != Some(&part.len()) {
            let got = format!("{:?} for {} samples", features.dims(), part.len());
            return Err(Error::argument("extract", "features", got, "[samples, ..]"));
        }
        parts.push(if features.rank() > 2 { features.flatten(1, -1)? } else { features });
    }
    let all = Tensor::cat(&parts.iter().collect::<Vec<_>>(), 0)?;
    Ok(data.with_features(&all)?)
}

/// A linear probe: logistic regression on features `[n, d]`, the strength of its
/// penalty chosen by cross-validation (5 folds, or as many as the rarest class
/// has samples; with a single one, the default strength). Returns the head.
///
/// # Errors
/// A set without classes; features that are no finite matrix.
pub fn linear_probe(features: &Dataset, seed: u64) -> Result<Linear> {
    let (labels, classes) = (features.labels()?, features.classes());
    let rarest = features.class_counts()?.into_iter().filter(|n| *n > 0).min().unwrap_or(0);
    let regression = LogisticRegression::new();
    let folds = rarest.min(5);
    let fit = if folds < 2 {
        regression.fit(features.features(), labels, classes)?
    } else {
        let c = [1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0];
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        regression.fit_cross_validated(features.features(), labels, classes, &c, folds, rng)?
    };
    Ok(fit.head)
}
