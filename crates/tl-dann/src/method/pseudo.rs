//! Self-training on pseudo-labels of the whole target, made anew every epoch.

use super::align::{Align, Pair};
use crate::{Result, Seen, Selection, pseudo_labels};
use tl_nn::{Ctx, Tensor};
use tl_tensor::{CrossEntropy, Reduction};

/// The second stage of self-training: those target samples that the selection
/// keeps are learned like labelled ones, each class with the same weight in all.
pub(crate) struct SelfTraining {
    /// The selection at a part of the run.
    select: fn(f64, (f64, f64)) -> Selection,
    numbers: (f64, f64),
    labels: Vec<Option<usize>>,
    /// The weight of a sample of each class.
    weights: Vec<f32>,
}

impl SelfTraining {
    /// Predictions of at least this probability (Lee 2013).
    pub(crate) fn confident(threshold: f64) -> Self {
        Self::new(|_, (threshold, _)| Selection::Confidence(threshold), (threshold, 0.0))
    }

    /// CBST (Zou et al. 2018): the surest part of each class, growing from
    /// `first` to `last`.
    pub(crate) fn balanced(first: f64, last: f64) -> Self {
        Self::new(|p, (a, b)| Selection::ClassBalanced(a + (b - a) * p), (first, last))
    }

    fn new(select: fn(f64, (f64, f64)) -> Selection, numbers: (f64, f64)) -> Self {
        Self { select, numbers, labels: Vec::new(), weights: Vec::new() }
    }
}

impl Align for SelfTraining {
    fn grows(&self) -> bool {
        false
    }

    fn term(&self, pair: &Pair<'_>, _: &mut Ctx) -> Result<Tensor> {
        let of = |i: &usize| self.labels.get(*i).copied().flatten();
        let labels: Vec<usize> = pair.places.iter().map(|i| of(i).unwrap_or(0)).collect();
        let weights: Vec<f32> =
            pair.places.iter().map(|i| of(i).map_or(0.0, |c| self.weights[c])).collect();
        let n = labels.len();
        let each = CrossEntropy::new()
            .reduction(Reduction::None)
            .loss(&pair.target.logits, &labels.into())?;
        Ok(each.mul(&Tensor::from_vec(weights, [n])?)?.mean_all())
    }

    fn renews(&self) -> bool {
        true
    }

    fn renew(&mut self, target: &Seen, progress: f64) -> Result<()> {
        self.labels = pseudo_labels(&target.logits, (self.select)(progress, self.numbers))?;
        let mut counts = vec![0_usize; target.logits.size(1)?];
        self.labels.iter().flatten().for_each(|&c| counts[c] += 1);
        let kept: usize = counts.iter().sum();
        let present = counts.iter().filter(|&&c| c > 0).count();
        // Mean 1 over the kept samples; a rare class by no more than ten times.
        let weight = |&c: &usize| (kept as f32 / (present * c).max(1) as f32).min(10.0);
        self.weights = counts.iter().map(weight).collect();
        Ok(())
    }
}
