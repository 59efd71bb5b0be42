//! Both domains in a plane.

use crate::{Classifier, Result};
use serde::{Deserialize, Serialize};
use tl_data::Dataset;
use tl_nn::{
    Forward, Tensor,
    shallow::{Pca, TSne},
};

/// How features come into a plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Projection {
    /// The two directions of largest variance: distances mean something.
    #[default]
    Pca,
    /// Neighbours stay neighbours (van der Maaten and Hinton 2008): groups show,
    /// distances between them mean little.
    TSne {
        /// About how many neighbours count; 30 is usual.
        perplexity: f64,
    },
}

/// Samples of both domains in a plane, by the features of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// Where each source sample is, and its class.
    pub source: Vec<([f32; 2], usize)>,
    /// Where each target sample is, and its class as predicted.
    pub target: Vec<([f32; 2], usize)>,
}

impl Embedding {
    /// Of at most `most` samples of each domain, evenly spread. Both domains are
    /// projected together. The target's classes are the predicted ones: labels are
    /// not looked at. `domain` is the target's for layers with one state each.
    ///
    /// # Errors
    /// A source without classes; too few samples to project; those of the model.
    pub fn of<M: Forward>(
        model: &Classifier<M>,
        source: &Dataset,
        target: &Dataset,
        (projection, most, domain): (Projection, usize, usize),
    ) -> Result<Self> {
        let some = |data: &Dataset| -> Result<Dataset> {
            let step = data.len().div_ceil(most.max(1)).max(1);
            Ok(data.select(&(0..data.len()).step_by(step).collect::<Vec<_>>())?)
        };
        let (source, target) = (some(source)?, some(target)?);
        let (s, t) = (model.see_source(&source)?, model.see(&target, domain)?);
        let all = Tensor::cat(&[&s.features, &t.features], 0)?;
        let points = match projection {
            Projection::Pca => Pca::fit(&all, 2)?.transform(&all)?,
            Projection::TSne { perplexity } => TSne::new(perplexity).fit(&all)?,
        }
        .to_vec();
        let said = tl_nn::metric::predictions(&t.logits)?;
        let mut points = points.chunks_exact(2).map(|p| [p[0], p[1]]);
        let mut with = |labels: &[usize]| -> Vec<([f32; 2], usize)> {
            points.by_ref().take(labels.len()).zip(labels.iter().copied()).collect()
        };
        Ok(Self { source: with(source.labels()?), target: with(&said) })
    }
}
