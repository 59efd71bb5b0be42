//! CORAL on features.

use super::{pair, power};
use crate::{Error, Result};
use tl_nn::Tensor;

/// CORAL (Sun et al. 2016, algorithm 1): source features, centred, whitened and
/// coloured like the target, `X_s (C_s + rI)^(-1/2) (C_t + rI)^(1/2)`, moved to
/// the target's mean. Train on the result, test on the target as it is. The
/// paper's `ridge` is 1.
///
/// # Errors
/// Features that do not fit; a ridge not above 0.
pub fn align_coral(source: &Tensor, target: &Tensor, ridge: f64) -> Result<Tensor> {
    let [_, _, d] = pair("CORAL", source, target)?;
    if !(ridge.is_finite() && ridge > 0.0) {
        return Err(Error::argument("CORAL", "ridge", ridge, "a number above 0"));
    }
    let (s, t) = (source.cast::<f64>(), target.cast::<f64>());
    let (ms, mt) = (s.mean(0, true)?, t.mean(0, true)?);
    let covariance = |x: &Tensor<f64>, mean: &Tensor<f64>| -> Result<Tensor<f64>> {
        let c = x.sub(mean)?;
        let n = x.size(0)? as f64;
        let ridge = Tensor::<f64>::eye(d).mul_scalar(ridge);
        Ok(c.t()?.matmul(&c)?.mul_scalar(1.0 / (n - 1.0)).add(&ridge)?)
    };
    let white = s.sub(&ms)?.matmul(&power(&covariance(&s, &ms)?, -0.5)?)?;
    Ok(white.matmul(&power(&covariance(&t, &mt)?, 0.5)?)?.add(&mt)?.cast::<f32>())
}
