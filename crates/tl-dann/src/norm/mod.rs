//! Normalisation that belongs to a domain.

mod ada_bn;
mod domain;
mod stream;
mod tent;

pub use ada_bn::adapt_batch_norm;
pub use domain::{DomainBatchNorm, InDomain};
pub use stream::StreamNorm;
pub use tent::{Tent, TentSettings};
