//! Watching features: are they of use, or all the same?

use crate::{Error, Result, loss};
use serde::{Deserialize, Serialize};
use tl_nn::shallow::eigh;
use tl_tensor::Tensor;

/// What can be said of features without labels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// The deviation of unit features, a mean over dimensions, times `√d`: 1 for
    /// unrelated features, 0 if all are the same.
    pub spread: f64,
    /// The effective rank (RankMe, Garrido et al. 2023): `exp(-Σ p ln p)` of the
    /// normalised singular values, each plus 1e-7; at most `d`.
    pub rank: f64,
    /// Uniformity (Wang and Isola 2020, eq. 2): `ln mean exp(-2|x - y|²)` of unit
    /// features; lower is more uniform.
    pub uniformity: f64,
}

/// Looks at features `[n, d]`.
///
/// # Errors
/// No finite matrix of two rows or more.
pub fn health(features: &Tensor) -> Result<Health> {
    let (n, d) = match features.dims() {
        &[n, d] if n > 1 && d > 0 && features.is_finite() => (n, d),
        other => {
            let got = format!("{other:?}");
            return Err(Error::argument("health", "features", got, "a finite [n, d], n above 1"));
        }
    };
    let x = loss::unit(&features.detach())?;
    let centred = x.sub(&x.mean(0, true)?)?;
    let deviation = centred.square().mean(0, false)?.sqrt().mean_all().item()?;
    let s = singular_values(&features.detach().cast::<f64>())?;
    let total: f64 = s.iter().sum::<f64>().max(1e-300);
    let entropy: f64 = s.iter().map(|s| s / total + 1e-7).map(|p| -p * p.ln()).sum();
    let close = x.matmul(&x.t()?)?.mul_scalar(4.0).add_scalar(-4.0).exp();
    // Without each sample's pair with itself.
    let pairs = (n * (n - 1)) as f64;
    let sum = f64::from(close.sum_all().item()?) - n as f64;
    Ok(Health {
        spread: f64::from(deviation) * (d as f64).sqrt(),
        rank: entropy.exp(),
        uniformity: (sum / pairs).max(1e-300).ln(),
    })
}

/// From the smaller of both products of `x` with itself: exact enough for an
/// entropy, and many times faster than the decomposition of `x`.
fn singular_values(x: &Tensor<f64>) -> Result<Vec<f64>> {
    let gram = if x.dims()[0] < x.dims()[1] { x.matmul(&x.t()?)? } else { x.t()?.matmul(x)? };
    Ok(eigh(&gram)?.0.to_vec().into_iter().map(|v| v.max(0.0).sqrt()).collect())
}

/// The part of the variance of `x` `[n, d]` that is along one direction, 0 to 1;
/// 1 if nothing varies.
pub(crate) fn on_a_line(x: &Tensor) -> Result<f64> {
    if !x.is_finite() || x.rank() != 2 {
        let got = format!("{:?}", x.dims());
        return Err(Error::argument("health", "projections", got, "a finite [n, d]"));
    }
    let x = x.detach().cast::<f64>();
    let singular = singular_values(&x.sub(&x.mean(0, true)?)?)?;
    let total: f64 = singular.iter().map(|s| s * s).sum();
    let most = singular.iter().map(|s| s * s).fold(0.0, f64::max);
    Ok(if total > 1e-20 { most / total } else { 1.0 })
}

/// Alignment (Wang and Isola 2020, eq. 1): the mean of `|x - y|²` of unit
/// features of two views; 0 is best.
///
/// # Errors
/// Views of different shapes.
pub fn alignment(a: &Tensor, b: &Tensor) -> Result<f64> {
    let apart = loss::unit(a)?.sub(&loss::unit(b)?)?.square().sum(-1, false)?;
    Ok(f64::from(apart.mean_all().item()?))
}
