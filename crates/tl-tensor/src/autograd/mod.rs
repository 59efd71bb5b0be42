//! Reverse-mode automatic differentiation of any order.
//!
//! A tracked tensor holds a node; a node holds its parents and the operation
//! that made it. There is no tape, no registry and no lock: the graph is
//! reference-counted data, and several threads may record and differentiate at
//! the same time.

mod check;
mod checkpoint;
mod deliver;
mod engine;
mod factored;
mod functional;
mod grad;
mod gradients;
mod graph;
mod node;
mod vjp;

pub use check::{GradCheck, gradcheck, gradgradcheck};
pub use checkpoint::checkpoint;
pub use engine::AnyTensor;
pub use factored::{FactoredGradient, FactoredGradients};
pub use functional::{hvp, jacobian, jvp};
pub use grad::{GradOptions, grad, vjp};
pub use gradients::Gradients;
pub use node::Op;
pub(crate) use node::{NodeRef, new_leaf, record};
pub use vjp::Vjp;
