//! Variational information distillation.

use crate::check::{c, same_shape};
use tl_tensor::{Elem, Error, Result, Tensor};

/// Where the raw variances of [`vid`] begin: `ln(e^(5 - 1e-5) - 1)`, so that
/// the variance is 5.
pub const VID_START: f64 = 4.993_229_182_713_621_5;

/// Variational information distillation (Ahn et al. 2019, eq. 5 and 6):
/// `½ mean [(r - t)² / v + ln v]`, `v = softplus(raw) + 1e-5` for each channel.
///
/// `regressed` is the student's features after a regressor, of the teacher's
/// shape `[n, c, ..]`; `raw`, `[c]`, is learned with the student and begins at
/// [`VID_START`]. The loss may be negative. Weight 1.
///
/// # Errors
/// The shapes differ; `raw` has not one number for each channel.
pub fn vid<E: Elem>(
    regressed: &Tensor<E>,
    teacher: &Tensor<E>,
    raw: &Tensor<E>,
) -> Result<Tensor<E>> {
    same_shape("vid", regressed, teacher)?;
    if regressed.rank() < 2 || regressed.rank() > 4 || raw.dims() != [regressed.dims()[1]] {
        let expected = "features [n, c], [n, c, l] or [n, c, h, w] and a variance [c]";
        return Err(Error::shapes("vid", regressed.shape(), raw.shape(), expected));
    }
    let channels = raw.numel();
    let variance = raw.softplus().add_scalar(c(1e-5));
    let variance = match regressed.rank() {
        2 => variance.reshape([1, channels])?,
        3 => variance.reshape([1, channels, 1])?,
        _ => variance.reshape([1, channels, 1, 1])?,
    };
    let error = regressed.sub(&teacher.detach())?.square().div(&variance)?;
    Ok(error.add(&variance.log())?.mean_all().mul_scalar(c(0.5)))
}
