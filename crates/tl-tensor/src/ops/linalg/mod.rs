//! Linear algebra: einsum, triangular and Cholesky solves, inverse, determinant.
