//! State dicts: the numbers of a model by path, in and out of safetensors files.

mod bytes;
mod load;
mod shards;
mod state_dict;
mod weight;

pub(crate) use load::load;
pub use load::{Load, LoadReport, Mismatch};
pub use state_dict::StateDict;
pub use weight::{Dtype, Weight};
