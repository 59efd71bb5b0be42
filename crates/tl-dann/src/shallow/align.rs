//! Features moved so that domains look alike.

use crate::{Error, Result};
use tl_nn::{
    Tensor,
    shallow::{Pca, eigh},
};

fn pair(what: &'static str, s: &Tensor, t: &Tensor) -> Result<[usize; 3]> {
    match (s.dims(), t.dims()) {
        (&[n, d], &[m, d2]) if d == d2 && n > 1 && m > 1 => Ok([n, m, d]),
        (a, b) => {
            let got = format!("{a:?} and {b:?}");
            Err(Error::argument(what, "features", got, "[n, d] and [m, d], two samples or more"))
        }
    }
}

/// A symmetric matrix to a power.
fn power(a: &Tensor<f64>, exponent: f64) -> Result<Tensor<f64>> {
    let (values, vectors) = eigh(a)?;
    let scaled = vectors.mul(&values.clamp(1e-12, f64::INFINITY).powf(exponent).unsqueeze(0)?)?;
    Ok(scaled.matmul(&vectors.t()?)?)
}

/// CORAL (Sun et al. 2016, algorithm 1): source features, centred, whitened and
/// coloured like the target, `X_s (C_s + rI)^(-1/2) (C_t + rI)^(1/2)`, moved to
/// the target's mean. Train on the result, test on the target as it is. The
/// paper's `ridge` is 1.
///
/// # Errors
/// Features that do not fit; a ridge not above 0.
pub fn align_coral(source: &Tensor, target: &Tensor, ridge: f64) -> Result<Tensor> {
    let [_, _, d] = pair("CORAL", source, target)?;
    if !(ridge.is_finite() && ridge > 0.0) {
        return Err(Error::argument("CORAL", "ridge", ridge, "a number above 0"));
    }
    let (s, t) = (source.cast::<f64>(), target.cast::<f64>());
    let (ms, mt) = (s.mean(0, true)?, t.mean(0, true)?);
    let covariance = |x: &Tensor<f64>, mean: &Tensor<f64>| -> Result<Tensor<f64>> {
        let c = x.sub(mean)?;
        let n = x.size(0)? as f64;
        let ridge = Tensor::<f64>::eye(d).mul_scalar(ridge);
        Ok(c.t()?.matmul(&c)?.mul_scalar(1.0 / (n - 1.0)).add(&ridge)?)
    };
    let white = s.sub(&ms)?.matmul(&power(&covariance(&s, &ms)?, -0.5)?)?;
    Ok(white.matmul(&power(&covariance(&t, &mt)?, 0.5)?)?.add(&mt)?.cast::<f32>())
}

/// Subspace alignment (Fernando et al. 2013, eq. 4): the first `k` principal
/// directions of each domain, those of the source turned to those of the target.
/// Returns source and target features of length `k`.
///
/// # Errors
/// Features that do not fit; `k` above what a domain has.
pub fn align_subspaces(source: &Tensor, target: &Tensor, k: usize) -> Result<(Tensor, Tensor)> {
    pair("subspace alignment", source, target)?;
    let (ps, pt) = (Pca::fit(source, k)?, Pca::fit(target, k)?);
    let turn = ps.components.matmul(&pt.components.t()?)?;
    Ok((ps.transform(source)?.matmul(&turn)?, pt.transform(target)?))
}

/// Transfer component analysis (Pan et al. 2011, eq. 10) with a Gaussian kernel:
/// the `k` leading directions of `(K L K + μ I)⁻¹ K H K`, which keep variance
/// and lose the discrepancy. `bandwidth` divides the squared distance; none for
/// its median. Returns the components of both domains. Cubic in the number of
/// samples: some 1,000 in all.
///
/// # Errors
/// Features that do not fit; `k` of 0 or above the number of samples; `mu` not
/// above 0.
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
    let x = Tensor::cat(&[source, target], 0)?.cast::<f64>();
    let cross = x.matmul(&x.t()?)?.mul_scalar(-2.0);
    let sq = x.square().sum(-1, true)?;
    let distances = cross.add(&sq)?.add(&sq.t()?)?.relu();
    let bandwidth = match bandwidth {
        Some(b) => b,
        None => {
            let mut all = distances.to_vec();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2].max(1e-12)
        }
    };
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
