//! Weights for source samples, so that they count like target samples.

use crate::{Error, Result};
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

/// Kernel mean matching (Huang et al. 2007, eq. 12): weights `β` in 0 to `most`
/// whose mean is within `eps = (√n - 1)/√n` of 1, such that the weighted source
/// has the target's mean in the space of a Gaussian kernel with the median of
/// squared distances as bandwidth. Solved by projected gradient descent with
/// momentum; the paper's `most` is 1,000.
///
/// # Errors
/// Features that do not fit; `most` below 1.
pub fn kernel_mean_matching(
    source: &Tensor,
    target: &Tensor,
    most: f64,
    iterations: usize,
) -> Result<Vec<f64>> {
    if most.is_nan() || most < 1.0 {
        return Err(Error::argument("KMM", "most", most, "at least 1"));
    }
    let (n, m) = (source.size(0)? as f64, target.size(0)? as f64);
    let (s, t) = (source.cast::<f64>(), target.cast::<f64>());
    let apart = |a: &Tensor<f64>, b: &Tensor<f64>| -> Result<Tensor<f64>> {
        let cross = a.matmul(&b.t()?)?.mul_scalar(-2.0);
        Ok(cross.add(&a.square().sum(-1, true)?)?.add(&b.square().sum(-1, false)?)?.relu())
    };
    let (dss, dst) = (apart(&s, &s)?, apart(&s, &t)?);
    let mut all = dst.to_vec();
    all.sort_by(f64::total_cmp);
    let bandwidth = all[all.len() / 2].max(1e-12);
    let kernel = dss.mul_scalar(-1.0 / bandwidth).exp();
    let kappa = dst.mul_scalar(-1.0 / bandwidth).exp().sum(1, true)?.mul_scalar(n / m);
    let eps = (n.sqrt() - 1.0) / n.sqrt();
    // The largest eigenvalue is at most the largest row sum.
    let lipschitz = kernel.sum(1, false)?.to_vec().into_iter().fold(1.0, f64::max);
    let project = |b: &Tensor<f64>| -> Result<Tensor<f64>> {
        let b = b.clamp(0.0, most);
        let mean = b.mean_all().item()?;
        let scale = (mean.clamp(1.0 - eps, 1.0 + eps)) / mean.max(1e-12);
        Ok(if (scale - 1.0).abs() > 1e-12 { b.mul_scalar(scale).clamp(0.0, most) } else { b })
    };
    let mut beta = Tensor::<f64>::ones([source.size(0)?, 1]);
    let mut ahead = beta.clone();
    for i in 0..iterations {
        let gradient = kernel.matmul(&ahead)?.sub(&kappa)?;
        let next = project(&ahead.sub(&gradient.mul_scalar(1.0 / lipschitz))?)?;
        let momentum = i as f64 / (i as f64 + 3.0);
        ahead = next.add(&next.sub(&beta)?.mul_scalar(momentum))?;
        beta = next;
    }
    Ok(beta.to_vec())
}
