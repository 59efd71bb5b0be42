//! Operations with one kernel for several steps: normalisation, softmax,
//! losses, attention, dropout.
//!
//! Each has a kernel for the value and one for the plain gradient, and beside
//! them the same formula in tensor operations, from which gradients of
//! gradients come.

mod attention;
mod batch_norm;
mod class_losses;
mod cross_entropy;
mod dropout;
mod heads;
mod layer_norm;
mod softmax;

pub use attention::Attention;
pub use batch_norm::BatchNorm;
pub use cross_entropy::{CrossEntropy, Reduction};
