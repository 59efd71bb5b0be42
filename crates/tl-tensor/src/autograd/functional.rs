//! Products with the Jacobian and the Hessian.

use super::grad::{GradOptions, grad, vjp};
use crate::{Elem, Error, Result, Shape, Tensor};

/// The Jacobian-vector product `(∂f/∂x) v` of `f` at `x`: the output's value
/// and its directional derivative. `v` has the shape of `x`.
///
/// Computed by differentiating the vector-Jacobian product twice, so the cost
/// is that of about two backward passes.
///
/// # Errors
/// Those of `f` and its rules; `v` does not have the shape of `x`; `f` does
/// not depend on its argument.
///
/// ```
/// use tl_tensor::{Tensor, jvp};
/// # fn main() -> tl_tensor::Result<()> {
/// let x = Tensor::from_slice(&[1.0_f64, 2.0], 2)?;
/// let v = Tensor::from_slice(&[1.0, 10.0], 2)?;
/// let (y, dy) = jvp(|x| Ok(x.square()), &x, &v)?;
/// assert_eq!(y.to_vec(), [1.0, 4.0]);
/// assert_eq!(dy.to_vec(), [2.0, 40.0]);
/// # Ok(())
/// # }
/// ```
pub fn jvp<E: Elem>(
    f: impl FnOnce(&Tensor<E>) -> Result<Tensor<E>>,
    x: &Tensor<E>,
    v: &Tensor<E>,
) -> Result<(Tensor<E>, Tensor<E>)> {
    if x.shape() != v.shape() {
        return Err(Error::shapes("jvp", x.shape(), v.shape(), "a direction of the input's shape"));
    }
    let x = x.requires_grad();
    let y = f(&x)?;
    // uᵀJ is linear in u, so its derivative along v is the product Jv for any u.
    let u = Tensor::zeros(y.shape()).requires_grad();
    let options = GradOptions { create_graph: true, allow_unused: false };
    let back = vjp(&y, &[&x], &u, options)?.remove(0);
    let unused = GradOptions { create_graph: false, allow_unused: true };
    let forward = vjp(&back, &[&u], v, unused)?.remove(0);
    Ok((y.detach(), forward))
}

/// The Jacobian `∂y/∂x` of `f` at `x`, of shape `y.shape() ++ x.shape()`; one
/// backward pass for each element of `y`.
///
/// # Errors
/// Those of `f`; more than [`MAX_RANK`](crate::MAX_RANK) dimensions in all.
pub fn jacobian<E: Elem>(
    f: impl FnOnce(&Tensor<E>) -> Result<Tensor<E>>,
    x: &Tensor<E>,
) -> Result<Tensor<E>> {
    let x = x.requires_grad();
    let y = f(&x)?;
    let options = GradOptions { create_graph: false, allow_unused: true };
    let (rows, columns) = (y.numel(), x.numel());
    let mut all = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        let mut unit = vec![E::ZERO; rows];
        unit[row] = E::ONE;
        let unit = Tensor::from_vec(unit, y.shape())?;
        all.extend(vjp(&y, &[&x], &unit, options)?[0].to_vec());
    }
    let dims: Vec<usize> = y.dims().iter().chain(x.dims()).copied().collect();
    Tensor::from_vec(all, Shape::new(&dims)?)
}

/// The Hessian-vector product `(∂²f/∂x²) v` of a single-number function at
/// `x`, without forming the Hessian.
///
/// # Errors
/// Those of `f`; `f` does not give a single number; `v` does not have the
/// shape of `x`.
pub fn hvp<E: Elem>(
    f: impl FnOnce(&Tensor<E>) -> Result<Tensor<E>>,
    x: &Tensor<E>,
    v: &Tensor<E>,
) -> Result<Tensor<E>> {
    if x.shape() != v.shape() {
        return Err(Error::shapes("hvp", x.shape(), v.shape(), "a direction of the input's shape"));
    }
    let x = x.requires_grad();
    let options = GradOptions { create_graph: true, allow_unused: false };
    let slope = grad(&f(&x)?, &[&x], options)?.remove(0);
    let unused = GradOptions { create_graph: false, allow_unused: true };
    Ok(vjp(&slope, &[&x], v, unused)?.remove(0))
}
