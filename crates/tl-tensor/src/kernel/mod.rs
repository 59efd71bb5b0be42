//! Loops over numbers. Nothing here knows of derivatives.

pub(crate) mod conv;
pub(crate) mod copy;
mod depthwise;
pub(crate) mod gemm;
pub(crate) mod im2col;
pub(crate) mod map;
pub(crate) mod parallel;
pub(crate) mod reduce;
pub(crate) mod walk;
