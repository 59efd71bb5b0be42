//! Kernel mean matching.

use super::{median, pair, squared_distances};
use crate::{Error, Result};
use tl_nn::Tensor;

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
    let [n, m, _] = pair("KMM", source, target)?.map(|x| x as f64);
    let (s, t) = (source.cast::<f64>(), target.cast::<f64>());
    let (dss, dst) = (squared_distances(&s, &s)?, squared_distances(&s, &t)?);
    let bandwidth = median(&dst);
    let kernel = dss.mul_scalar(-1.0 / bandwidth).exp();
    let kappa = dst.mul_scalar(-1.0 / bandwidth).exp().sum(1, true)?.mul_scalar(n / m);
    let eps = (n.sqrt() - 1.0) / n.sqrt();
    // The largest eigenvalue is at most the largest row sum.
    let lipschitz = kernel.sum(1, false)?.to_vec().into_iter().fold(1.0, f64::max);
    let project = |b: &Tensor<f64>| project(b, most, eps);
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

/// The nearest point with all numbers in 0 to `most` and a mean within `eps` of 1:
/// a common shift before clamping, by bisection.
fn project(b: &Tensor<f64>, most: f64, eps: f64) -> Result<Tensor<f64>> {
    let shifted = |by: f64| b.add_scalar(by).clamp(0.0, most);
    let mean = |x: &Tensor<f64>| x.mean_all().item();
    let plain = shifted(0.0);
    let now = mean(&plain)?;
    let goal = now.clamp(1.0 - eps, (1.0 + eps).min(most));
    if (now - goal).abs() < 1e-12 {
        return Ok(plain);
    }
    let reach = b.to_vec().iter().fold(goal, |a, x| a.max(x.abs())) + goal;
    let (mut low, mut high) = (-reach, reach);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if mean(&shifted(middle))? < goal {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(shifted(f64::midpoint(low, high)))
}
