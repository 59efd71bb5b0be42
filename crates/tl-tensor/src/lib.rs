//! Tensors with automatic differentiation of any order, on ordinary CPUs.
//!
//! - [`Tensor`] is an immutable, strided array of `f32` or `f64`; a clone is
//!   cheap.
//! - A result is *tracked* if and only if something tracked went into it.
//!   [`Tensor::backward`] and [`grad`] walk back along what was recorded.
//! - Every derivative rule is written in differentiable operations, so
//!   gradients have gradients: [`GradOptions::create_graph`].
//! - Fallible operations return a [`Result`] whose [`Error`] names the
//!   operation, the shapes and what would have been right. Only the operators
//!   `+ - * /` panic, with the same message.
//!
//! # One step of MAML
//! The gradient of a loss *after* a gradient step, with respect to what was
//! there before it (Finn, Abbeel and Levine 2017, eq. 1):
//! ```
//! use tl_tensor::{GradOptions, Tensor, grad};
//!
//! # fn main() -> tl_tensor::Result<()> {
//! let theta = Tensor::scalar(3.0_f32).requires_grad();
//! let inner = theta.square();
//! let slope = grad(&inner, &[&theta], GradOptions::new().create_graph(true))?.remove(0);
//! let adapted = &theta - slope * 0.1;
//! let outer = adapted.square();
//! // d/dθ (θ - 0.1 · 2θ)² = 2 · 0.8² θ
//! let meta = outer.backward()?;
//! assert!((meta.get(&theta).unwrap().item()? - 3.84).abs() < 1e-6);
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//! `rayon` (default): kernels use the threads of the current pool. Results are
//! the same bits for any number of them.

mod autograd;
mod buffer;
mod elem;
mod error;
mod indices;
mod kernel;
mod memory;
mod ops;
mod shape;
mod tensor;
mod value;

pub use autograd::{
    AnyTensor, FactoredGradient, FactoredGradients, GradCheck, GradOptions, Gradients, Op, Vjp,
    checkpoint, grad, gradcheck, gradgradcheck, hvp, jacobian, jvp, vjp,
};
pub use elem::Elem;
pub use error::{Error, Result};
pub use indices::Indices;
pub use memory::{peak_bytes, try_peak_bytes};
pub use ndarray;
pub use ops::{
    Activation, Attention, BatchNorm, Conv, CrossEntropy, PadMode, Pool, Reduction, Triangle,
};
pub use shape::{Axes, MAX_RANK, Shape};
pub use tensor::Tensor;
pub use value::{Strides, Value};
