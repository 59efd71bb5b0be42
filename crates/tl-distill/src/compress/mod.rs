//! Smaller networks after training.

mod magnitude;
mod precision;
mod structured;
mod tokens;

pub use magnitude::{Pruned, prune_magnitude};
pub use precision::{Precision, round_weights};
pub use structured::{Cut, Importance, prune_structured};
pub use tokens::{StaticConfig, StaticEmbedding};
