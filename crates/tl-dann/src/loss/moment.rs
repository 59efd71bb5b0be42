//! Moment matching: features of two domains with the same statistics.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tl_nn::shallow::Svd;
use tl_tensor::{Elem, Tensor};

/// A sum of Gaussian kernels `exp(-|x - y|² / b)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernels {
    /// `b` is the mean squared distance of all pairs times each of these
    /// factors; the mean is a constant. Long et al. 2015 take powers of 2.
    Mean(Vec<f64>),
    /// These `b`.
    Fixed(Vec<f64>),
}

impl Default for Kernels {
    /// The mean times 1/8, 1/4, 1/2, 1 and 2.
    fn default() -> Self {
        Self::Mean(vec![0.125, 0.25, 0.5, 1.0, 2.0])
    }
}

/// Which estimate of the squared maximum mean discrepancy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MmdForm {
    /// All pairs, each sample with itself too (Gretton et al. 2012, eq. 5): never
    /// negative.
    Biased,
    /// Without a sample's pair with itself (eq. 3). May be negative.
    #[default]
    Unbiased,
    /// Pairs of neighbours only (eq. 16): linear time, noisier. Uses as many
    /// samples of each domain as there are in the smaller, rounded down to even.
    Linear,
}

/// `|x_i - y_j|²`.
fn distances<E: Elem>(x: &Tensor<E>, y: &Tensor<E>) -> Result<Tensor<E>> {
    let cross = x.matmul(&y.t()?)?.mul_scalar(E::from_f64(-2.0));
    let sums = cross.add(&x.square().sum(-1, true)?)?.add(&y.square().sum(-1, false)?)?;
    Ok(sums.relu())
}

impl Kernels {
    /// The kernel of all pairs of source and target samples in one matrix, source
    /// first, `[n + m, n + m]`.
    pub(crate) fn matrix<E: Elem>(&self, s: &Tensor<E>, t: &Tensor<E>) -> Result<Tensor<E>> {
        check("mmd", s, t)?;
        let all = Tensor::cat(&[s, t], 0)?;
        Self::of(&self.bandwidths(&all)?, &distances(&all, &all)?)
    }

    fn bandwidths<E: Elem>(&self, all: &Tensor<E>) -> Result<Vec<f64>> {
        let bands = match self {
            Self::Fixed(bands) => bands.clone(),
            Self::Mean(factors) => {
                let d = distances(&all.detach(), &all.detach())?;
                let n = all.size(0)? as f64;
                let mean = d.sum_all().item()?.to_f64() / (n * (n - 1.0)).max(1.0);
                factors.iter().map(|f| f * mean.max(1e-12)).collect()
            }
        };
        if bands.is_empty() || bands.iter().any(|b| !(b.is_finite() && *b > 0.0)) {
            let got = format!("{bands:?}");
            return Err(Error::argument("mmd", "bandwidths", got, "at least one, all above 0"));
        }
        Ok(bands)
    }

    fn of<E: Elem>(bands: &[f64], distances: &Tensor<E>) -> Result<Tensor<E>> {
        let mut sum = Tensor::scalar(E::ZERO);
        for band in bands {
            sum = sum.add(&distances.mul_scalar(E::from_f64(-1.0 / band)).exp())?;
        }
        Ok(sum)
    }
}

fn check<E: Elem>(what: &'static str, s: &Tensor<E>, t: &Tensor<E>) -> Result<[usize; 3]> {
    match (s.dims(), t.dims()) {
        (&[n, d], &[m, d2]) if d == d2 && n > 1 && m > 1 => Ok([n, m, d]),
        (a, b) => {
            let got = format!("{a:?} and {b:?}");
            Err(Error::argument(what, "features", got, "[n, d] and [m, d], two samples or more"))
        }
    }
}

/// The squared maximum mean discrepancy of features `[n, d]` and `[m, d]`
/// (Gretton et al. 2012), with several kernels as in DAN (Long et al. 2015).
///
/// # Errors
/// Shapes that do not fit; fewer than two samples; a bandwidth not above 0.
pub fn mmd<E: Elem>(
    source: &Tensor<E>,
    target: &Tensor<E>,
    kernels: &Kernels,
    form: MmdForm,
) -> Result<Tensor<E>> {
    joint_mmd(&[(source, target)], std::slice::from_ref(kernels), form)
}

/// The squared discrepancy of joint distributions over several layers (JAN, Long
/// et al. 2017, eq. 6): the kernel is the product of those of the layers, such
/// as features and probabilities. One [`Kernels`] for each layer.
///
/// # Errors
/// As [`mmd`]; no layer; not as many kernels as layers.
pub fn joint_mmd<E: Elem>(
    layers: &[(&Tensor<E>, &Tensor<E>)],
    kernels: &[Kernels],
    form: MmdForm,
) -> Result<Tensor<E>> {
    let Some((s, t)) = layers.first() else {
        return Err(Error::argument("mmd", "layers", "none", "at least one"));
    };
    if kernels.len() != layers.len() {
        let expected = format!("{}, one for each layer", layers.len());
        return Err(Error::argument("mmd", "kernels", kernels.len(), expected));
    }
    let (n, m) = (s.size(0)?, t.size(0)?);
    let [mut ss, mut st, mut tt] = [(); 3].map(|()| Tensor::scalar(E::ONE));
    let half = n.min(m) / 2;
    let even = |x: &Tensor<E>, from| x.slice(0, from, half * 2, 2);
    for ((s, t), kernels) in layers.iter().zip(kernels) {
        check("mmd", s, t)?;
        let bands = kernels.bandwidths(&Tensor::cat(&[&s.detach(), &t.detach()], 0)?)?;
        if form == MmdForm::Linear {
            let (s1, s2, t1, t2) = (even(s, 0)?, even(s, 1)?, even(t, 0)?, even(t, 1)?);
            let k = |x: &Tensor<E>, y: &Tensor<E>| -> Result<Tensor<E>> {
                Kernels::of(&bands, &x.sub(y)?.square().sum(-1, false)?)
            };
            ss = ss.mul(&k(&s1, &s2)?)?;
            tt = tt.mul(&k(&t1, &t2)?)?;
            // Both crossings, in one: they are summed below.
            let both = Tensor::cat(&[&k(&s1, &t2)?, &k(&s2, &t1)?], 0)?;
            st = st.mul(&both)?;
        } else {
            ss = ss.mul(&Kernels::of(&bands, &distances(s, s)?)?)?;
            tt = tt.mul(&Kernels::of(&bands, &distances(t, t)?)?)?;
            st = st.mul(&Kernels::of(&bands, &distances(s, t)?)?)?;
        }
    }
    let mean_pairs = |k: &Tensor<E>, n: usize| -> Result<Tensor<E>> {
        if form != MmdForm::Unbiased {
            return Ok(k.mean_all());
        }
        let off = Tensor::<E>::eye(n).neg().add_scalar(E::ONE);
        Ok(k.mul(&off)?.sum_all().mul_scalar(E::from_f64(1.0 / (n * (n - 1)) as f64)))
    };
    let within = mean_pairs(&ss, n)?.add(&mean_pairs(&tt, m)?)?;
    Ok(within.sub(&st.mean_all().mul_scalar(E::from_f64(2.0)))?)
}

fn covariance<E: Elem>(x: &Tensor<E>) -> Result<Tensor<E>> {
    let n = x.size(0)? as f64;
    let centred = x.sub(&x.mean(0, true)?)?;
    Ok(centred.t()?.matmul(&centred)?.mul_scalar(E::from_f64(1.0 / (n - 1.0))))
}

/// Deep CORAL (Sun and Saenko 2016, eq. 1): `|C_s - C_t|² / (4d²)`, the squared
/// Frobenius norm of the difference of the covariances (with `n - 1`).
///
/// # Errors
/// Shapes that do not fit; fewer than two samples.
pub fn coral<E: Elem>(source: &Tensor<E>, target: &Tensor<E>) -> Result<Tensor<E>> {
    let [_, _, d] = check("coral", source, target)?;
    let difference = covariance(source)?.sub(&covariance(target)?)?;
    Ok(difference.square().sum_all().mul_scalar(E::from_f64(0.25 / (d * d) as f64)))
}

/// Central moment discrepancy (Zellinger et al. 2017, eq. 6): the distance of
/// the means plus those of the central moments 2 to `order`, each divided by
/// `range` to its power; for features bounded in an interval of length `range`.
/// The paper takes order 5.
///
/// # Errors
/// Shapes that do not fit; `order` or `range` not above 0.
pub fn central_moments<E: Elem>(
    source: &Tensor<E>,
    target: &Tensor<E>,
    order: i32,
    range: f64,
) -> Result<Tensor<E>> {
    check("cmd", source, target)?;
    if order < 1 || !(range.is_finite() && range > 0.0) {
        let got = format!("order {order}, range {range}");
        return Err(Error::argument("cmd", "order, range", got, "both above 0"));
    }
    let (ms, mt) = (source.mean(0, true)?, target.mean(0, true)?);
    let mut sum = ms.sub(&mt)?.norm(.., false)?.mul_scalar(E::from_f64(1.0 / range));
    let (cs, ct) = (source.sub(&ms)?, target.sub(&mt)?);
    let (mut ps, mut pt) = (cs.clone(), ct.clone());
    for k in 2..=order {
        (ps, pt) = (ps.mul(&cs)?, pt.mul(&ct)?);
        let apart = ps.mean(0, true)?.sub(&pt.mean(0, true)?)?.norm(.., false)?;
        sum = sum.add(&apart.mul_scalar(E::from_f64(range.powi(-k))))?;
    }
    Ok(sum)
}

/// Stepwise adaptive feature norm (Xu et al. 2019, eq. 8): the mean over samples
/// of `(|f| - (|f| + step))²` with the second norm as a constant, so that norms
/// grow by steps. The paper takes step 1 and weight 0.05; apply to both domains.
///
/// # Errors
/// Features that are no matrix.
pub fn feature_norm<E: Elem>(features: &Tensor<E>, step: f64) -> Result<Tensor<E>> {
    let norm = features.norm(-1, false)?;
    let goal = norm.detach().add_scalar(E::from_f64(step));
    Ok(norm.sub(&goal)?.square().mean_all())
}

/// Hard adaptive feature norm (HAFN, Xu et al. 2019, eq. 5): `(mean |f| - R)²`,
/// the mean norm of a domain's features goes to a radius. The paper takes 25 for
/// 1,000 features; apply to both domains.
///
/// # Errors
/// Features that are no matrix; a radius not above 0.
pub fn hard_feature_norm<E: Elem>(features: &Tensor<E>, radius: f64) -> Result<Tensor<E>> {
    if !(radius.is_finite() && radius > 0.0) {
        return Err(Error::argument("hafn", "radius", radius, "a number above 0"));
    }
    let mean = features.norm(-1, false)?.mean_all();
    Ok(mean.add_scalar(E::from_f64(-radius)).square())
}

/// Batch spectral penalisation (Chen et al. 2019, eq. 5): the sum of the squares
/// of the `k` largest singular values of a batch of features. Weight 1e-4; apply
/// to both domains. `u` and `v` are constants in `σ = uᵀFv`, which gives the
/// exact gradient where singular values differ.
///
/// # Errors
/// Features that are no matrix, or not finite; `k` of 0 or above the rank.
pub fn spectral_penalty<E: Elem>(features: &Tensor<E>, k: usize) -> Result<Tensor<E>> {
    let svd = Svd::of(&features.detach())?;
    let most = svd.s.numel();
    if k == 0 || k > most {
        return Err(Error::argument("spectral penalty", "k", k, format!("1 to {most}")));
    }
    let u = svd.u.narrow(1, 0, k)?;
    let v = svd.vt.narrow(0, 0, k)?.t()?;
    let values = u.mul(&features.matmul(&v)?)?.sum(0, false)?;
    Ok(values.square().sum_all())
}
