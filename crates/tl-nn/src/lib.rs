//! Neural network modules, losses, optimisers and one training loop, with
//! PyTorch's names and layouts.
//!
//! A model is a plain value: a struct whose public fields are its parameters
//! and parts. Changing the head is an assignment, freezing takes a pattern of
//! paths, and a state dict saved here loads in PyTorch.

mod ctx;
mod error;
mod glob;
mod module;

pub use ctx::{Ctx, Mode, NormStats, Update};
pub use error::{Error, Result, Within};
pub use glob::Glob;
pub use module::{Buffer, Forward, Module, ModuleExt, Param, Visit, VisitMut};
pub use tl_tensor::{Activation, GradOptions, Gradients, Indices, Shape, Tensor, grad};
