//! Reverse-mode automatic differentiation of any order.
//!
//! A tracked tensor holds a node; a node holds its parents and the operation
//! that made it. There is no tape, no registry and no lock: the graph is
//! reference-counted data, and several threads may record and differentiate at
//! the same time.

mod check;
mod checkpoint;
mod engine;
mod factored;
mod functional;
mod node;

pub use check::{GradCheck, gradcheck, gradgradcheck};
pub use checkpoint::checkpoint;
pub use engine::{AnyTensor, GradOptions, Gradients, Vjp, grad, vjp};
pub use factored::{FactoredGradient, FactoredGradients};
pub use functional::{hvp, jacobian, jvp};
pub use node::Op;
pub(crate) use node::{NodeRef, new_leaf, record};
