//! Deep embedded validation.

use super::Evidence;
use crate::Result;
use tl_nn::{Tensor, shallow::LogisticRegression};

pub(super) fn risk(e: &Evidence<'_>) -> Result<f64> {
    let (n, m) = (e.source_features.size(0)?, e.target_features.size(0)?);
    let both = Tensor::cat(&[e.source_features, e.target_features], 0)?;
    let domains: Vec<usize> = (0..n + m).map(|i| usize::from(i < n)).collect();
    let fit = LogisticRegression::new().fit(&both, &domains, 2)?;
    let p = fit.logits(e.source_features)?.softmax(-1)?.to_vec();
    let right = tl_nn::metric::predictions(e.source_logits)?;
    // p(target)/p(source), corrected for the numbers of samples.
    let weights: Vec<f64> = (0..n)
        .map(|i| f64::from(p[2 * i]) / f64::from(p[2 * i + 1]).max(1e-6) * n as f64 / m as f64)
        .collect();
    let losses: Vec<f64> =
        (0..n).map(|i| weights[i] * f64::from(u8::from(right[i] != e.source_labels[i]))).collect();
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (mw, ml) = (mean(&weights), mean(&losses));
    let covariance =
        weights.iter().zip(&losses).map(|(w, l)| (w - mw) * (l - ml)).sum::<f64>() / n as f64;
    let variance = weights.iter().map(|w| (w - mw).powi(2)).sum::<f64>() / n as f64;
    let eta = if variance > 1e-12 { -covariance / variance } else { 0.0 };
    Ok(ml + eta * mw - eta)
}
