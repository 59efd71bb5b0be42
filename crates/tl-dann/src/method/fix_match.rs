//! Consistency between views.

use super::align::{Align, Pair};
use crate::{
    Result,
    domains::{View, change},
    pseudo_label_loss,
};
use tl_nn::{Ctx, Tensor};

/// FixMatch (Sohn et al. 2020) on the target: what is said with confidence of a
/// weakly changed sample is the label of the strongly changed one.
pub(crate) struct FixMatch {
    pub(crate) confidence: f64,
    pub(crate) views: (View, View),
}

impl Align for FixMatch {
    fn term(&self, pair: &Pair<'_>, cx: &mut Ctx) -> Result<Tensor> {
        let weak = change(&self.views.0, pair.samples, cx.rng())?;
        let strong = change(&self.views.1, pair.samples, cx.rng())?;
        let teacher = (pair.pass)(&weak, cx)?.logits;
        let student = (pair.pass)(&strong, cx)?.logits;
        Ok(pseudo_label_loss(&student, &teacher, self.confidence)?.0)
    }
}
