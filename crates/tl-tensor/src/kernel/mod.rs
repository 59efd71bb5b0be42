//! Loops over numbers. Nothing here knows of derivatives.

pub(crate) mod conv;
pub(crate) mod copy;
mod depthwise;
mod direct;
mod disjoint;
pub(crate) mod functions;
pub(crate) mod gemm;
pub(crate) mod im2col;
pub(crate) mod lanes;
pub(crate) mod map;
pub(crate) mod parallel;
mod phases;
pub(crate) mod philox;
pub(crate) mod reduce;
mod square;
mod strided;
mod tile;
pub(crate) mod walk;
mod whole;
mod winograd;
