//! Features that say different things.

use super::{pair, side::Side};
use crate::Result;
use serde::{Deserialize, Serialize};
use tl_tensor::{Elem, Tensor};

/// Barlow Twins (Zbontar et al. 2021, eq. 1): features of both views
/// standardised over the batch (biased variance), their correlation `C`;
/// `Σ (1 - C_ii)² + λ Σ_{i≠j} C_ij²`, sums as in the authors' code. Their `λ` is
/// 0.0051. The scale of the sum matters with LARS; with Adam it does not.
///
/// # Errors
/// Views of different shapes, or of one sample.
pub fn barlow_twins<E: Elem>(a: &Tensor<E>, b: &Tensor<E>, lambda: f64) -> Result<Tensor<E>> {
    let [n, d] = pair("barlow twins", a, b)?;
    let standard = |x: &Tensor<E>| -> Result<Tensor<E>> {
        let centred = x.sub(&x.mean(0, true)?)?;
        let variance = centred.square().mean(0, true)?;
        Ok(centred.mul(&variance.add_scalar(E::from_f64(1e-5)).rsqrt())?)
    };
    let c = standard(a)?.t()?.matmul(&standard(b)?)?.mul_scalar(E::from_f64(1.0 / n as f64));
    let eye = Tensor::<E>::eye(d);
    let on = c.mul(&eye)?.sum(1, false)?.neg().add_scalar(E::ONE).square().sum_all();
    let off = c.masked_fill(&eye, E::ZERO)?.square().sum_all();
    Ok(on.add(&off.mul_scalar(E::from_f64(lambda)))?)
}

/// How the variance term of VICReg is counted: the paper's formula, its code and
/// ports differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VicRegConvention {
    /// Half of the sum over both views, as in the authors' code and in lightly.
    #[default]
    Halved,
    /// The sum over both views, as in the paper's eq. 6 and in solo-learn.
    Summed,
}

/// What the parts of [`vicreg`] weigh.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VicReg {
    /// Of the squared distance of the views.
    pub invariance: f64,
    /// Of the hinge that keeps deviations at 1.
    pub variance: f64,
    /// Of the covariances.
    pub covariance: f64,
    /// How the variance is counted.
    #[serde(default)]
    pub convention: VicRegConvention,
}

impl Default for VicReg {
    /// 25, 25 and 1, as in the paper.
    fn default() -> Self {
        let convention = VicRegConvention::Halved;
        Self { invariance: 25.0, variance: 25.0, covariance: 1.0, convention }
    }
}

/// VICReg (Bardes et al. 2022, eq. 6) of two views `[n, d]`: the mean squared
/// difference; the mean over features of `[1 - √(var + 1e-4)]₊` (unbiased
/// variance); the squares of the covariances of different features over `d`,
/// summed over both views.
///
/// # Errors
/// Views of different shapes, or of one sample.
pub fn vicreg<E: Elem>(a: &Tensor<E>, b: &Tensor<E>, weights: &VicReg) -> Result<Tensor<E>> {
    pair("vicreg", a, b)?;
    let invariance = a.sub(b)?.square().mean_all();
    let half = if weights.convention == VicRegConvention::Halved { 0.5 } else { 1.0 };
    let terms = Side { variance: weights.variance * half, covariance: weights.covariance };
    let spread = terms.of(a)?.add(&terms.of(b)?)?;
    Ok(invariance.mul_scalar(E::from_f64(weights.invariance)).add(&spread)?)
}
