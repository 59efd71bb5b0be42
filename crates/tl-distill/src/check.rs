//! Checks that several losses share.

use tl_tensor::{Elem, Error, Result, Tensor};

/// Student and teacher of one shape.
pub(crate) fn same_shape<E: Elem>(op: &'static str, s: &Tensor<E>, t: &Tensor<E>) -> Result<()> {
    if s.shape() == t.shape() {
        return Ok(());
    }
    Err(Error::shapes(op, s.shape(), t.shape(), "student and teacher of one shape"))
}

/// At least one distribution over at least two classes, `[.., classes]`.
pub(crate) fn logits<E: Elem>(op: &'static str, s: &Tensor<E>, t: &Tensor<E>) -> Result<()> {
    same_shape(op, s, t)?;
    if s.rank() >= 2 && s.numel() > 0 && s.dims()[s.rank() - 1] >= 2 {
        return Ok(());
    }
    Err(Error::shape(op, s.shape(), "[n, classes], n > 0, at least 2 classes"))
}

/// Features of as many samples, and of at least `least`.
pub(crate) fn samples<E: Elem>(
    op: &'static str,
    s: &Tensor<E>,
    t: &Tensor<E>,
    least: usize,
) -> Result<usize> {
    let fits = s.rank() >= 2 && t.rank() >= 2 && s.dims()[0] == t.dims()[0];
    if fits && s.dims()[0] >= least && s.numel() > 0 && t.numel() > 0 {
        return Ok(s.dims()[0]);
    }
    let expected = format!("features [n, ..] of the same n samples, n at least {least}");
    Err(Error::shapes(op, s.shape(), t.shape(), expected))
}

/// Maps `[n, c, h, w]` of the same samples.
pub(crate) fn maps<E: Elem>(op: &'static str, s: &Tensor<E>, t: &Tensor<E>) -> Result<()> {
    samples(op, s, t, 1)?;
    if s.rank() == 4 && t.rank() == 4 {
        return Ok(());
    }
    Err(Error::shapes(op, s.shape(), t.shape(), "maps [n, channels, height, width]"))
}

/// A setting that has to be a finite number above 0.
pub(crate) fn positive(op: &'static str, name: &'static str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::argument(op, name, value.to_string(), "a finite number above 0"))
}

/// A setting that has to be a finite number from 0 on.
pub(crate) fn not_negative(op: &'static str, name: &'static str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::argument(op, name, value.to_string(), "a finite number from 0 on"))
}

/// `x` as an element.
pub(crate) fn c<E: Elem>(x: f64) -> E {
    E::from_f64(x)
}
