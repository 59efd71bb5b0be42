//! How far two domains are apart, and what an adaptation did to each class.

mod distance;
mod picture;
mod shift;
mod transfer;
mod warn;

pub use distance::proxy_a_distance;
pub use picture::{Embedding, Projection};
pub use shift::{Diagnosis, ShiftTest, diagnose, shift_test};
pub use transfer::{ClassTransfer, OpenSet, Transfer};
pub use warn::{Warning, warnings};
