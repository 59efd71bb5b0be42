//! Transfer component analysis.

use super::{median, pair, power, squared_distances};
use crate::{Error, Result};
use tl_nn::{Tensor, shallow::eigh};

/// Transfer component analysis (Pan et al. 2011, eq. 10) with a Gaussian kernel:
/// the `k` leading directions of `(K L K + μ I)⁻¹ K H K`, which keep variance
/// and lose the discrepancy. `bandwidth` divides the squared distance; none for
/// its median. Returns the components of both domains. Cubic in the number of
/// samples: some 1,000 in all.
///
/// # Errors
/// Features that do not fit; `k` of 0 or above the number of samples; `mu` not
/// above 0; a bandwidth not above 0.
pub fn transfer_components(
    source: &Tensor,
    target: &Tensor,
    k: usize,
    mu: f64,
    bandwidth: Option<f64>,
) -> Result<(Tensor, Tensor)> {
    let [n, m, _] = pair("TCA", source, target)?;
    let all = n + m;
    if k == 0 || k > all || !(mu.is_finite() && mu > 0.0) {
        let got = format!("k {k}, mu {mu}");
        return Err(Error::argument("TCA", "k, mu", got, format!("k in 1 to {all}, mu above 0")));
    }
    if let Some(bad) = bandwidth.filter(|b| !(b.is_finite() && *b > 0.0)) {
        return Err(Error::argument("TCA", "bandwidth", bad, "a number above 0, or none"));
    }
    let x = Tensor::cat(&[source, target], 0)?.cast::<f64>();
    let distances = squared_distances(&x, &x)?;
    let bandwidth = bandwidth.unwrap_or_else(|| median(&distances));
    let kernel = distances.mul_scalar(-1.0 / bandwidth).exp();
    // L = e eᵀ with 1/n for the source and -1/m for the target.
    let e: Vec<f64> =
        (0..all).map(|i| if i < n { 1.0 / n as f64 } else { -1.0 / m as f64 }).collect();
    let ke = kernel.matmul(&Tensor::from_vec(e, [all, 1])?)?;
    let a = ke.matmul(&ke.t()?)?.add(&Tensor::<f64>::eye(all).mul_scalar(mu))?;
    let centre = Tensor::<f64>::eye(all).add_scalar(-1.0 / all as f64);
    let b = kernel.matmul(&centre)?.matmul(&kernel)?;
    // Symmetric form: A^(-1/2) B A^(-1/2).
    let root = power(&a, -0.5)?;
    let (_, vectors) = eigh(&root.matmul(&b)?.matmul(&root)?)?;
    // The eigenvalues come in ascending order.
    let leading = root.matmul(&vectors.narrow(1, all - k, k)?)?;
    let z = kernel.matmul(&leading)?.cast::<f32>();
    Ok((z.narrow(0, 0, n)?, z.narrow(0, n, m)?))
}
