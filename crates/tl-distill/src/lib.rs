//! Knowledge distillation: teacher to student, feature and relation losses, compression.

mod check;
mod error;
mod feature;
mod logit;

pub use error::{Error, Result};
pub use feature::*;
pub use logit::*;
