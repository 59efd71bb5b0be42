//! The operations: each with its kernel, its derivative rule and its tests in
//! one place.

mod arith;
mod binary;
mod cast;
mod compare;
mod conv;
mod create;
mod extremum;
mod flip;
mod fused;
mod index;
mod join;
mod linalg;
mod linear;
mod matmul;
mod ndarray;
mod operators;
mod reduce;
mod scan;
mod select;
mod shape;
mod slice;
mod unary;
mod variance;

pub use conv::{Conv, PadMode, Pool};
pub use fused::{Attention, BatchNorm, CrossEntropy, Reduction};
pub use linalg::Triangle;
pub use linear::Activation;
pub(crate) use reduce::Reduced;
