//! How well features will transfer, before any training.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tl_data::Dataset;
use tl_nn::{Tensor, shallow::Svd};

fn check(
    what: &'static str,
    rows: &Tensor,
    labels: &[usize],
    classes: usize,
) -> Result<[usize; 2]> {
    match rows.dims() {
        &[n, d] if n == labels.len() && n > 1 && labels.iter().all(|&y| y < classes) => Ok([n, d]),
        other => {
            let got = format!("{other:?} for {} labels of {classes} classes", labels.len());
            Err(Error::argument(what, "features", got, "[n, d] and n labels below the classes"))
        }
    }
}

/// LogME (You et al. 2021, eq. 2 and algorithm 1): the logarithm of the maximum
/// evidence of a Bayesian linear model from features `[n, d]` to each one-hot
/// class, over `n`, a mean over classes. Higher is better; compare models on the
/// same data.
///
/// # Errors
/// Features and labels that do not fit.
pub fn log_me(features: &Tensor, labels: &[usize], classes: usize) -> Result<f64> {
    let [n, d] = check("LogME", features, labels, classes)?;
    let x = features.cast::<f64>();
    let svd = Svd::of(&x)?;
    let s2: Vec<f64> = svd.s.to_vec().iter().map(|s| s * s).collect();
    let (n_, d_) = (n as f64, d as f64);
    let mut total = 0.0;
    for class in 0..classes {
        let y: Vec<f64> = labels.iter().map(|&l| f64::from(u8::from(l == class))).collect();
        let target = Tensor::from_slice(&y, [n, 1])?;
        let along = svd.u.t()?.matmul(&target)?.to_vec();
        let y2: f64 = y.iter().sum();
        let inside: f64 = along.iter().map(|z| z * z).sum();
        let outside = (y2 - inside).max(0.0);
        let (mut alpha, mut beta) = (1.0_f64, 1.0_f64);
        let mut parts = (0.0, 0.0);
        for _ in 0..100 {
            let t = alpha / beta;
            let gamma: f64 = s2.iter().map(|s| s / (s + t)).sum();
            let m2: f64 = s2.iter().zip(&along).map(|(s, z)| s * z * z / (s + t).powi(2)).sum();
            let shrunk: f64 = s2.iter().zip(&along).map(|(s, z)| (t * z / (s + t)).powi(2)).sum();
            let residual = shrunk + outside;
            parts = (m2, residual);
            let (a, b) = (gamma / m2.max(1e-12), (n_ - gamma) / residual.max(1e-12));
            let done = ((a / b) / t - 1.0).abs() < 1e-6;
            (alpha, beta) = (a, b);
            if done {
                break;
            }
        }
        let determinant: f64 = s2.iter().map(|s| (alpha + beta * s).ln()).sum::<f64>()
            + (d_ - s2.len() as f64) * alpha.ln();
        let evidence = 0.5
            * (d_ * alpha.ln() + n_ * beta.ln()
                - determinant
                - beta * parts.1
                - alpha * parts.0
                - n_ * (2.0 * std::f64::consts::PI).ln());
        total += evidence / n_;
    }
    Ok(total / classes as f64)
}

/// LEEP (Nguyen et al. 2020, eq. 2): the mean of `ln Σ_z P(y | z) θ(x)_z` for the
/// source head's probabilities `θ` `[n, source classes]` and the labels `y` of
/// the target. At most 0; higher is better.
///
/// # Errors
/// Probabilities and labels that do not fit.
pub fn leep(probabilities: &Tensor, labels: &[usize], classes: usize) -> Result<f64> {
    let [n, z] = check("LEEP", probabilities, labels, classes)?;
    let p: Vec<f64> = probabilities.cast::<f64>().to_vec();
    let mut joint = vec![0.0; classes * z];
    for (row, &y) in labels.iter().enumerate() {
        for k in 0..z {
            joint[y * z + k] += p[row * z + k] / n as f64;
        }
    }
    let marginal: Vec<f64> = (0..z).map(|k| (0..classes).map(|y| joint[y * z + k]).sum()).collect();
    let mut sum = 0.0;
    for (row, &y) in labels.iter().enumerate() {
        let expected: f64 = (0..z)
            .filter(|&k| marginal[k] > 0.0)
            .map(|k| joint[y * z + k] / marginal[k] * p[row * z + k])
            .sum();
        sum += expected.max(1e-300).ln();
    }
    Ok(sum / n as f64)
}

/// The H-score (Bao et al. 2019, definition 2): `tr(cov(f)⁻¹ cov(E[f | y]))`,
/// with `shrinkage` of the covariance towards its mean variance (Ibrahim et al.
/// 2022), which more dimensions than samples need; 0.1 is usual, 0 the original.
/// Higher is better.
///
/// # Errors
/// Features and labels that do not fit; a covariance that is singular without
/// shrinkage; a shrinkage not in 0 to 1.
pub fn h_score(features: &Tensor, labels: &[usize], classes: usize, shrinkage: f64) -> Result<f64> {
    let [n, d] = check("H-score", features, labels, classes)?;
    if !(0.0..=1.0).contains(&shrinkage) {
        return Err(Error::argument("H-score", "shrinkage", shrinkage, "0 to 1"));
    }
    let x = features.cast::<f64>();
    let x = x.sub(&x.mean(0, true)?)?;
    let cov = x.t()?.matmul(&x)?.mul_scalar(1.0 / n as f64);
    let mean_variance = cov.mul(&Tensor::<f64>::eye(d))?.sum_all().item()? / d as f64;
    let shrunk = cov
        .mul_scalar(1.0 - shrinkage)
        .add(&Tensor::<f64>::eye(d).mul_scalar(shrinkage * mean_variance))?;
    let members = Tensor::<f64>::one_hot(&labels.into(), classes)?;
    let counts = members.sum(0, true)?.t()?.clamp(1.0, f64::INFINITY);
    let means = members.t()?.matmul(&x)?.div(&counts)?;
    let expected = members.matmul(&means)?;
    let between = expected.t()?.matmul(&expected)?.mul_scalar((1.0 - shrinkage) / n as f64);
    let solved = shrunk.cholesky()?.cholesky_solve(&between)?;
    Ok(solved.mul(&Tensor::<f64>::eye(d))?.sum_all().item()?)
}

/// How promising one checkpoint is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// The checkpoint.
    pub name: String,
    /// See [`log_me`].
    pub log_me: f64,
    /// See [`h_score`], with a shrinkage of 0.1.
    pub h_score: f64,
}

/// Ranks checkpoints by [`log_me`] of their features of the same labelled samples,
/// the most promising first: which one is worth fine-tuning? Nothing is trained.
///
/// # Errors
/// No checkpoint; sets without classes or with other labels; those of the scores.
pub fn rank_checkpoints(features: &[(&str, &Dataset)]) -> Result<Vec<Promise>> {
    let Some((_, first)) = features.first() else {
        return Err(Error::argument("ranking", "features", "none", "at least one checkpoint"));
    };
    let (labels, classes) = (first.labels()?, first.classes());
    let mut all = Vec::new();
    for (name, data) in features {
        if data.labels()? != labels {
            let got = format!("other labels for `{name}`");
            return Err(Error::argument("ranking", "features", got, "the same samples for all"));
        }
        let x = data.features();
        let (log_me, h_score) = (log_me(x, labels, classes)?, h_score(x, labels, classes, 0.1)?);
        all.push(Promise { name: (*name).to_owned(), log_me, h_score });
    }
    all.sort_by(|a, b| b.log_me.total_cmp(&a.log_me));
    Ok(all)
}
