//! What keeps fine-tuning near what the model knew.

mod co_tuning;
mod delta;
mod r3f;
mod spectral;
mod starting_point;

pub use co_tuning::CoTuning;
pub use delta::{Delta, channel_importance};
pub use r3f::{R3fNoise, r3f};
pub use spectral::spectral_shrinkage;
pub use starting_point::StartingPoint;

use serde::{Deserialize, Serialize};

/// A penalty that [`FineTune`](crate::FineTune) adds to the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Penalty {
    /// L2-SP: see [`StartingPoint::l2_sp`]. Weight decay is off then.
    L2Sp {
        /// Of the weights that were there; 0.01 is usual.
        alpha: f32,
        /// Of the new head; 0.01 is usual.
        beta: f32,
    },
    /// Batch spectral shrinkage: see [`spectral_shrinkage`].
    Bss {
        /// The tap of the features, `[n, d]`, such as `features`.
        layer: String,
        /// How many singular values; 1 is usual.
        k: usize,
        /// 1e-3 is usual.
        weight: f32,
    },
    /// DELTA: see [`Delta`].
    Delta {
        /// The taps that are held, such as `layer4`.
        layers: Vec<String>,
        /// 0.01 is usual.
        weight: f32,
        /// Whether channels count by their importance, which costs a pass over the
        /// data a channel before training.
        attention: bool,
    },
    /// R3F: see [`r3f`]. For inputs that are numbers, not token ids.
    R3f {
        /// 1 is usual.
        weight: f32,
        /// The noise.
        noise: R3fNoise,
    },
}
