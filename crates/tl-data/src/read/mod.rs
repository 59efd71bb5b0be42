//! Readers of files. What is cut off, damaged or hostile gives an
//! [`Error`](crate::Error), never a panic, and never takes more memory than
//! about twice what is really there or what [`Limits`] allow.

mod array;
pub mod csv;
pub mod idx;
#[cfg(feature = "image")]
pub mod image_folder;
pub mod mat;
#[cfg(feature = "npy")]
pub mod npy;
pub mod safetensors;
mod source;

pub use array::{NumArray, Numbers};
pub use source::Limits;
