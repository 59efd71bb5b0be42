//! Choosing without target labels.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tl_nn::{Tensor, shallow::LogisticRegression};

/// What a model says of held-out source and of target samples. No target label.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// Features of source samples that were not trained on, `[n, d]`.
    pub source_features: &'a Tensor,
    /// Their logits, `[n, c]`.
    pub source_logits: &'a Tensor,
    /// Their classes.
    pub source_labels: &'a [usize],
    /// Features of target samples, `[m, d]`.
    pub target_features: &'a Tensor,
    /// Their logits, `[m, c]`.
    pub target_logits: &'a Tensor,
}

/// A score by which models can be compared without target labels; higher is
/// better. None is reliable alone (Musgrave et al. 2021).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validator {
    /// Accuracy on held-out source samples.
    SourceAccuracy,
    /// Minus the mean entropy of target predictions.
    Entropy,
    /// Entropy of the mean target prediction minus mean entropy (Shi and Sha
    /// 2012).
    #[default]
    InformationMaximisation,
    /// Soft neighbourhood density (Saito et al. 2021): the entropy of the softmax
    /// of cosines over 0.05 between target predictions, each without itself.
    NeighbourhoodDensity,
    /// Minus the deep embedded validation risk (You et al. 2019): the source
    /// error, importance-weighted by a domain classifier, with control variate.
    EmbeddedValidation,
    /// Minus the mean distance of target features to the nearest source class
    /// mean, over the mean distance between these.
    CentroidDistance,
}

impl Validator {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::SourceAccuracy,
        Self::Entropy,
        Self::InformationMaximisation,
        Self::NeighbourhoodDensity,
        Self::EmbeddedValidation,
        Self::CentroidDistance,
    ];

    /// The score of a model.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn score(self, e: &Evidence<'_>) -> Result<f64> {
        let n = e.source_labels.len();
        if e.source_logits.dims().first() != Some(&n) || n < 2 || e.target_logits.numel() == 0 {
            let got = format!("{:?} logits for {n} labels", e.source_logits.dims());
            let expected = "two source samples or more, with logits for each, and target samples";
            return Err(Error::argument("validator", "evidence", got, expected));
        }
        let value = |t: Tensor| -> Result<f64> { Ok(f64::from(t.item()?)) };
        match self {
            Self::SourceAccuracy => {
                Ok(tl_nn::metric::accuracy(e.source_logits, &e.source_labels.into())?)
            }
            Self::Entropy => Ok(-value(crate::entropy(e.target_logits)?)?),
            Self::InformationMaximisation => {
                Ok(-value(crate::information_maximisation(e.target_logits)?)?)
            }
            Self::NeighbourhoodDensity => density(e.target_logits),
            Self::EmbeddedValidation => Ok(-embedded(e)?),
            Self::CentroidDistance => Ok(-centroids(e)?),
        }
    }
}

fn density(logits: &Tensor) -> Result<f64> {
    // The similarity matrix is quadratic: 2,000 samples are enough.
    let n = logits.size(0)?.min(2000);
    let p = logits.narrow(0, 0, n)?.softmax(-1)?;
    let unit = p.mul(&p.square().sum(-1, true)?.rsqrt())?;
    let similar = unit.matmul(&unit.t()?)?.mul_scalar(1.0 / 0.05);
    let others = similar.masked_fill(&Tensor::eye(n), -1e30)?;
    Ok(f64::from(crate::entropy(&others)?.item()?))
}

fn embedded(e: &Evidence<'_>) -> Result<f64> {
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

fn centroids(e: &Evidence<'_>) -> Result<f64> {
    let classes = e.source_logits.size(1)?;
    let members = Tensor::one_hot(&e.source_labels.into(), classes)?;
    let counts = members.sum(0, true)?.t()?;
    let present: Vec<usize> = (0..classes).filter(|&c| counts.to_vec()[c] > 0.0).collect();
    let means = members
        .t()?
        .matmul(e.source_features)?
        .div(&counts.clamp(1.0, f32::INFINITY))?
        .index_select(0, &present.into())?;
    let apart = |a: &Tensor, b: &Tensor| -> Result<Tensor> {
        let cross = a.matmul(&b.t()?)?.mul_scalar(-2.0);
        Ok(cross.add(&a.square().sum(-1, true)?)?.add(&b.square().sum(-1, false)?)?.relu().sqrt())
    };
    let near = apart(e.target_features, &means)?.min(-1, false)?.mean_all().item()?;
    let k = means.size(0)? as f32;
    let between = apart(&means, &means)?.sum_all().item()? / (k * (k - 1.0)).max(1.0);
    Ok(f64::from(near / between.max(1e-12)))
}
