//! Methods that learn features in which a few samples are enough.

mod closed_form;
mod few_shot;
mod head;
mod svm;
mod trained;
mod views;

pub use closed_form::{RidgeHead, ridge_logits};
pub use few_shot::{FewShot, FewShotPredictor};
pub use head::{
    Matching, Nearest, Prototypes, Relation, matching_probabilities, prototype_logits, prototypes,
    relation_logits, squared_distances,
};
pub use svm::{SvmHead, svm_dual, svm_logits};
pub use trained::{CosineClassifier, Fitted, Logistic};
pub use views::AveragedViews;

use crate::Result;
use tl_nn::{Indices, Module, Tensor};

/// What turns the features of a support set into the logits of queries.
pub trait Head: Module {
    /// Logits `[q, ways]` for query features `[q, d]`, from support features
    /// `[n, d]` and their labels in `0..ways`.
    ///
    /// # Errors
    /// Shapes that do not fit; a label out of range.
    fn logits(
        &self,
        support: &Tensor,
        labels: &Indices,
        ways: usize,
        queries: &Tensor,
    ) -> Result<Tensor>;
}
