//! Linear algebra over the last two axes; all other axes are batches.

mod cholesky;
mod determinant;
mod diagonal;
mod einsum;
mod lu;
mod solve;
mod triangular;

pub use triangular::Triangle;

use crate::{Elem, Error, Result, Shape, Tensor, Value};

/// The size of square matrices `[.., n, n]`.
fn square<E: Elem>(op: &'static str, a: &Tensor<E>) -> Result<usize> {
    match *a.dims() {
        [.., m, n] if m == n => Ok(n),
        _ => Err(Error::shape(op, a.shape(), "square matrices [.., n, n]")),
    }
}

/// A square matrix and right-hand sides `[.., n, k]`, with one shape of
/// batches.
fn system<E: Elem>(
    op: &'static str,
    a: &Tensor<E>,
    b: &Tensor<E>,
) -> Result<(Tensor<E>, Tensor<E>)> {
    let n = square(op, a)?;
    let wrong = || {
        let expected = format!("[.., {n}, {n}] and right-hand sides [.., {n}, k]");
        Error::shapes(op, a.shape(), b.shape(), expected)
    };
    if b.rank() < 2 || b.dims()[b.rank() - 2] != n {
        return Err(wrong());
    }
    let batch = |x: &Tensor<E>| Shape::new(&x.dims()[..x.rank() - 2]);
    let common = Shape::broadcast(op, &batch(a)?, &batch(b)?).map_err(|_| wrong())?;
    let spread = |x: &Tensor<E>| {
        let mut dims = common.dims().to_vec();
        dims.extend_from_slice(&x.dims()[x.rank() - 2..]);
        x.broadcast_to(Shape::new(&dims)?)
    };
    Ok((spread(a)?, spread(b)?))
}

/// A copy of each matrix, changed by `f`, which gets its number too.
fn each_matrix<E: Elem>(
    a: &Value<E>,
    mut f: impl FnMut(usize, &mut [E]) -> Result<()>,
) -> Result<Value<E>> {
    let a = a.contiguous();
    let size: usize = a.shape().dims()[a.shape().rank() - 2..].iter().product();
    let mut result = Ok(());
    let value = Value::build(*a.shape(), |out| {
        out.copy_from_slice(&a.raw()[..a.numel()]);
        if size > 0 {
            result = out.chunks_exact_mut(size).enumerate().try_for_each(|(i, m)| f(i, m));
        }
    });
    result.map(|()| value)
}
