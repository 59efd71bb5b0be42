//! Losses of real targets.

use super::{positive, same_shape};
use tl_tensor::{Elem, Reduction, Result, Tensor};

/// The squared error `(x - t)²`, element by element, then reduced.
///
/// ```
/// use tl_nn::{Reduction, Tensor, loss};
/// # fn main() -> tl_nn::Result<()> {
/// let (x, t) = (Tensor::from_slice(&[1.0, 2.0], 2)?, Tensor::from_slice(&[0.0, 4.0], 2)?);
/// assert_eq!(loss::mse(&x, &t, Reduction::Mean)?.item()?, 2.5);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The shapes differ.
pub fn mse<E: Elem>(
    input: &Tensor<E>,
    target: &Tensor<E>,
    reduction: Reduction,
) -> Result<Tensor<E>> {
    same_shape("mse", input, target)?;
    Ok(reduction.apply(&input.sub(target)?.square()))
}

/// The absolute error `|x - t|`, element by element, then reduced. The
/// derivative at 0 is 0.
///
/// # Errors
/// The shapes differ.
pub fn l1<E: Elem>(
    input: &Tensor<E>,
    target: &Tensor<E>,
    reduction: Reduction,
) -> Result<Tensor<E>> {
    same_shape("l1", input, target)?;
    Ok(reduction.apply(&input.sub(target)?.abs()))
}

/// Quadratic near 0, linear far away (Huber 1964, with `d = x - t`):
/// `d²/2` where `|d| ≤ delta`, else `delta (|d| - delta/2)`. PyTorch's default
/// for `delta` is 1.
///
/// # Errors
/// The shapes differ; `delta` is not above 0.
pub fn huber<E: Elem>(
    input: &Tensor<E>,
    target: &Tensor<E>,
    delta: f64,
    reduction: Reduction,
) -> Result<Tensor<E>> {
    same_shape("huber", input, target)?;
    positive("huber", "delta", delta)?;
    // With q = min(|d|, delta) both branches are q (|d| - q/2).
    let distance = input.sub(target)?.abs();
    let near = distance.clamp(E::ZERO, E::from_f64(delta));
    let losses = near.mul(&distance.sub(&near.mul_scalar(E::from_f64(0.5)))?)?;
    Ok(reduction.apply(&losses))
}

/// [`huber`] divided by `beta`: `d²/(2 beta)` where `|d| ≤ beta`, else
/// `|d| - beta/2` (Girshick 2015, eq. 3). `beta = 0` is [`l1`].
///
/// # Errors
/// The shapes differ; `beta` is negative or not finite.
pub fn smooth_l1<E: Elem>(
    input: &Tensor<E>,
    target: &Tensor<E>,
    beta: f64,
    reduction: Reduction,
) -> Result<Tensor<E>> {
    if beta == 0.0 {
        return l1(input, target, reduction);
    }
    same_shape("smooth_l1", input, target)?;
    positive("smooth_l1", "beta", beta)?;
    Ok(huber(input, target, beta, reduction)?.mul_scalar(E::from_f64(1.0 / beta)))
}
