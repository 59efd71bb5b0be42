//! Importance weights by a domain classifier.

use crate::Result;
use tl_nn::{Tensor, shallow::LogisticRegression};

/// Importance weights by a domain classifier (Bickel et al. 2009): the odds of
/// the target, brought to mean 1, `[n]`. `c` is the inverse strength of its
/// penalty.
///
/// # Errors
/// Features that do not fit.
pub fn logistic_ratio(source: &Tensor, target: &Tensor, c: f64) -> Result<Vec<f64>> {
    let (n, m) = (source.size(0)?, target.size(0)?);
    let domains: Vec<usize> = (0..n + m).map(|i| usize::from(i >= n)).collect();
    let both = Tensor::cat(&[source, target], 0)?;
    let fit = LogisticRegression::new().c(c).fit(&both, &domains, 2)?;
    let p = fit.logits(source)?.softmax(-1)?.to_vec();
    let odds: Vec<f64> = p.chunks(2).map(|p| f64::from(p[1]) / f64::from(p[0]).max(1e-6)).collect();
    let mean = odds.iter().sum::<f64>() / n as f64;
    Ok(odds.into_iter().map(|w| w / mean).collect())
}
