//! Which loss carries the teacher's outputs.

use crate::{
    Result, dist, dkd, embedding_cosine, kd, logit::shares, logit_mse, mean_probabilities,
    multi_teacher_kd, pseudo_label, similarity_kl, standardised_kd,
};
use serde::{Deserialize, Serialize};
use tl_nn::{Indices, Tensor};

/// The loss between the student's outputs and the teacher's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Soft {
    /// [`kd`]; with several teachers [`multi_teacher_kd`].
    Kd {
        /// Of both softmaxes.
        temperature: f64,
    },
    /// [`standardised_kd`].
    Standardised {
        /// Of both softmaxes.
        temperature: f64,
    },
    /// [`dkd`]. Needs labels.
    Dkd {
        /// Weight of the true class against all others.
        alpha: f64,
        /// Weight of the others among themselves.
        beta: f64,
        /// Of all softmaxes.
        temperature: f64,
    },
    /// [`dist`].
    Dist {
        /// Weight of the samples' correlations.
        beta: f64,
        /// Weight of the classes' correlations.
        gamma: f64,
        /// Of both softmaxes.
        temperature: f64,
    },
    /// [`logit_mse`]; also for real-valued outputs.
    LogitMse,
    /// [`pseudo_label`].
    PseudoLabel {
        /// How sure the teacher has to be, 0 to 1.
        confidence: f64,
    },
    /// [`embedding_cosine`], of outputs that are embeddings.
    EmbeddingCosine,
    /// [`similarity_kl`], of outputs that are embeddings, of any two widths.
    SimilarityKl {
        /// Of both softmaxes of cosines.
        temperature: f64,
    },
}

impl Soft {
    /// The temperature, if there is one.
    pub fn temperature(self) -> Option<f64> {
        match self {
            Self::Kd { temperature }
            | Self::Standardised { temperature }
            | Self::Dkd { temperature, .. }
            | Self::Dist { temperature, .. }
            | Self::SimilarityKl { temperature } => Some(temperature),
            Self::LogitMse | Self::PseudoLabel { .. } | Self::EmbeddingCosine => None,
        }
    }

    /// The same with another temperature, where there is one.
    #[must_use]
    pub fn at(mut self, value: f64) -> Self {
        match &mut self {
            Self::Kd { temperature }
            | Self::Standardised { temperature }
            | Self::Dkd { temperature, .. }
            | Self::Dist { temperature, .. }
            | Self::SimilarityKl { temperature } => *temperature = value,
            Self::LogitMse | Self::PseudoLabel { .. } | Self::EmbeddingCosine => {}
        }
        self
    }

    /// The loss of a batch. Of several teachers, [`Soft::Kd`] takes the mean of
    /// the softened probabilities, [`Soft::LogitMse`] and the losses of
    /// embeddings the mean of the outputs, and all others the logarithm of the
    /// mean of the probabilities.
    ///
    /// # Errors
    /// Those of the loss; no labels for [`Soft::Dkd`].
    pub fn loss(
        self,
        student: &Tensor,
        teachers: &[Tensor],
        weights: Option<&[f64]>,
        labels: Option<&Indices>,
    ) -> Result<Tensor> {
        let all: Vec<&Tensor> = teachers.iter().collect();
        if let (Self::Kd { temperature }, 2..) = (self, all.len()) {
            return Ok(multi_teacher_kd(student, &all, weights, temperature)?);
        }
        let teacher = match (all.as_slice(), self) {
            ([one], _) => (*one).clone(),
            (_, Self::LogitMse | Self::EmbeddingCosine | Self::SimilarityKl { .. }) => {
                mean(&all, weights)?
            }
            _ => mean_probabilities(&all, weights, 1.0)?.clamp(1e-12, 1.0).log(),
        };
        Ok(match self {
            Self::Kd { temperature } => kd(student, &teacher, temperature)?,
            Self::Standardised { temperature } => standardised_kd(student, &teacher, temperature)?,
            Self::Dkd { alpha, beta, temperature } => {
                let Some(labels) = labels else {
                    let expected = "labelled data, or another loss such as `Soft::Kd`";
                    return Err(crate::Error::argument("dkd", "labels", "missing", expected));
                };
                dkd(student, &teacher, labels, alpha, beta, temperature)?
            }
            Self::Dist { beta, gamma, temperature } => {
                dist(student, &teacher, beta, gamma, temperature)?
            }
            Self::LogitMse => logit_mse(student, &teacher)?,
            Self::PseudoLabel { confidence } => pseudo_label(student, &teacher, confidence)?,
            Self::EmbeddingCosine => embedding_cosine(student, &teacher)?,
            Self::SimilarityKl { temperature } => similarity_kl(student, &teacher, temperature)?,
        })
    }
}

/// The weighted mean of outputs; without weights all count alike.
fn mean(all: &[&Tensor], weights: Option<&[f64]>) -> Result<Tensor> {
    let mut sum = Tensor::scalar(0.0);
    for (x, share) in all.iter().zip(shares("soft", weights, all.len())?) {
        sum = sum.add(&x.mul_scalar(share as f32))?;
    }
    Ok(sum)
}
