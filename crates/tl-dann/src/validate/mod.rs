//! Choosing without target labels.

mod centroid;
mod choose;
mod density;
mod embedded;

pub use choose::{Chosen, choose};

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tl_nn::Tensor;

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
            Self::NeighbourhoodDensity => density::score(e.target_logits),
            Self::EmbeddedValidation => Ok(-embedded::risk(e)?),
            Self::CentroidDistance => Ok(-centroid::distance(e)?),
        }
    }
}
