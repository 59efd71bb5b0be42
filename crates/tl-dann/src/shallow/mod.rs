//! Adaptation of features, whatever they come from.

mod align;
mod weight;

pub use align::{align_coral, align_subspaces, transfer_components};
pub use weight::{kernel_mean_matching, logistic_ratio};
