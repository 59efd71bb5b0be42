//! Architectures that share.

mod experts;
mod sharing;
mod stitch;

pub use experts::{Cgc, Level, Mmoe};
pub use sharing::HardSharing;
pub use stitch::CrossStitch;
