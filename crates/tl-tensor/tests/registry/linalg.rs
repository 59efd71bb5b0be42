//! Products, factors, systems.

use super::{
    Entry,
    generator::{Generator, T, case},
};
use tl_tensor::{Result, Triangle};

/// Batches of matrices `[.., m, n]`, or none.
fn batch(g: &mut Generator, m: usize, n: usize) -> Vec<usize> {
    let mut dims = if g.below(2) == 0 { vec![g.size()] } else { Vec::new() };
    dims.extend([m, n]);
    dims
}

/// `A Aᵀ + I`: symmetric and positive definite.
fn definite(a: &T) -> Result<T> {
    a.matmul(&a.transpose(-2, -1)?)?.add(&T::eye(a.size(-2)?))
}

/// `A + 4 I`: regular.
fn regular(a: &T) -> Result<T> {
    a.add(&T::eye(a.size(-1)?).mul_scalar(4.0))
}

pub const OPS: &[Entry] = &[
    ("matmul", |g| {
        let (m, k, n) = (g.size(), g.size(), g.size());
        let (a, b) = (batch(g, m, k), [k, n]);
        case([g.normal(&a), g.normal(&b)], |v| v[0].matmul(&v[1]))
    }),
    ("outer", |g| {
        let (m, n) = (g.size(), g.size());
        case([g.normal(&[m]), g.normal(&[n])], |v| v[0].outer(&v[1]))
    }),
    ("linear", |g| {
        let (m, k, n) = (g.size(), g.size(), g.size());
        let x = batch(g, m, k);
        case([g.normal(&x), g.normal(&[n, k]), g.normal(&[n])], |v| v[0].linear(&v[1], Some(&v[2])))
    }),
    ("linear_act", |g| {
        use tl_tensor::Activation::{Gelu, Relu, Tanh};
        let (m, k, n) = (g.size(), g.size(), g.size());
        let act = [Relu, Gelu, Tanh][g.below(3)];
        case([g.normal(&[m, k]), g.normal(&[n, k]), g.normal(&[n])], move |v| {
            v[0].linear_act(&v[1], Some(&v[2]), act)
        })
    }),
    ("linear_low_rank", |g| {
        use tl_tensor::Activation::{Gelu, Identity, Relu};
        let (m, k, n, r) = (g.size(), g.size(), g.size(), g.size());
        let act = [Identity, Relu, Gelu][g.below(3)];
        let x = batch(g, m, k);
        let all = [&x[..], &[n, k], &[r, k], &[n, r], &[n]].map(|shape| g.normal(shape));
        case(all, move |v| v[0].linear_low_rank(&v[1], [&v[2], &v[3]], 0.7, Some(&v[4]), act))
    }),
    ("apply", |g| {
        let reduction = [tl_tensor::Reduction::Mean, tl_tensor::Reduction::Sum][g.below(2)];
        let act = [tl_tensor::Activation::Tanh, tl_tensor::Activation::Gelu][g.below(2)];
        case([g.any()], move |v| Ok(reduction.apply(&act.apply(&v[0]))))
    }),
    ("diagonal", |g| {
        let (m, n) = (g.size() + 1, g.size() + 1);
        let offset = g.below(3) as isize - 1;
        let dims = batch(g, m, n);
        case([g.normal(&dims)], move |v| v[0].diagonal(offset, -1, -2))
    }),
    ("diag_embed", |g| {
        let offset = g.below(3) as isize - 1;
        let dims: Vec<usize> = g.dims().into_iter().take(2).collect();
        case([g.normal(&dims)], move |v| v[0].diag_embed(offset))
    }),
    ("trace", |g| {
        let n = g.size();
        let dims = batch(g, n, n + 1);
        case([g.normal(&dims)], |v| v[0].trace())
    }),
    ("tril", |g| {
        let (n, offset) = (g.size(), g.below(3) as isize - 1);
        let dims = batch(g, n, n + 1);
        case([g.normal(&dims)], move |v| v[0].tril(offset))
    }),
    ("triu", |g| {
        let (n, offset) = (g.size(), g.below(3) as isize - 1);
        let dims = batch(g, n, n + 1);
        case([g.normal(&dims)], move |v| v[0].triu(offset))
    }),
    ("cholesky", |g| {
        let n = g.size();
        let dims = batch(g, n, n);
        case([g.normal(&dims)], |v| definite(&v[0])?.cholesky())
    }),
    ("cholesky_solve", |g| {
        let (n, k) = (g.size(), g.size());
        let dims = batch(g, n, n);
        case([g.normal(&dims), g.normal(&[n, k])], |v| {
            definite(&v[0])?.cholesky()?.cholesky_solve(&v[1])
        })
    }),
    ("triangular_solve", |g| {
        let (n, k) = (g.size(), g.size());
        let mut triangle = if g.below(2) == 0 { Triangle::lower() } else { Triangle::upper() };
        if g.below(2) == 0 {
            triangle = triangle.transposed();
        }
        if g.below(2) == 0 {
            triangle = triangle.unit_diagonal();
        }
        let dims = batch(g, n, n);
        case([g.normal(&dims), g.normal(&[n, k])], move |v| {
            regular(&v[0])?.triangular_solve(&v[1], triangle)
        })
    }),
    ("solve", |g| {
        let (n, k) = (g.size(), g.size());
        let dims = batch(g, n, k);
        case([g.normal(&[n, n]), g.normal(&dims)], |v| regular(&v[0])?.solve(&v[1]))
    }),
    ("inverse", |g| {
        let n = g.size();
        let dims = batch(g, n, n);
        case([g.normal(&dims)], |v| regular(&v[0])?.inverse())
    }),
    ("slogdet", |g| {
        let n = g.size();
        let dims = batch(g, n, n);
        case([g.normal(&dims)], |v| Ok(regular(&v[0])?.neg().slogdet()?.1))
    }),
    ("logdet", |g| {
        let n = g.size();
        let dims = batch(g, n, n);
        case([g.normal(&dims)], |v| definite(&v[0])?.logdet())
    }),
    ("einsum", |g| {
        let (a, b, c) = (g.size(), g.size(), g.size());
        match g.below(5) {
            0 => case([g.normal(&[a, b]), g.normal(&[b, c])], |v| {
                T::einsum("ij,jk->ki", &[&v[0], &v[1]])
            }),
            1 => case([g.normal(&[c, a, b]), g.normal(&[1, b, a])], |v| {
                T::einsum("...ij,...jk", &[&v[0], &v[1]])
            }),
            2 => case([g.normal(&[a, b, a])], |v| T::einsum("iji->j", &[&v[0]])),
            3 => case([g.normal(&[a]), g.normal(&[a, b]), g.normal(&[b])], |v| {
                T::einsum("i,ij,j", &[&v[0], &v[1], &v[2]])
            }),
            _ => case([g.normal(&[a, b]), g.normal(&[a, b])], |v| {
                T::einsum("ab,ab->b", &[&v[0], &v[1]])
            }),
        }
    }),
];
