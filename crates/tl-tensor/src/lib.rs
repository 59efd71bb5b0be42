//! Tensors with reverse-mode automatic differentiation of any order, and fast CPU kernels.
