//! What is hidden or changed in a sample, to be found again.

mod columns;
mod patches;
mod tokens;

pub use columns::{Columns, Scarf, SwapColumns};
pub use patches::{HidePatches, patchify};
pub use tokens::{MaskTokens, MaskedTokens};
