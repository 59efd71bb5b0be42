//! Weights in fewer bits.

use crate::{Error, Result};
use half::f16;
use serde::{Deserialize, Serialize};
use tl_nn::{Module, ModuleExt};

/// What is kept of each weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Precision {
    /// Half precision: 2 bytes a number.
    F16,
    /// Eight bits with a scale for each output channel: 1 byte a number and 4
    /// a channel. Symmetric, `q = round(w / s)`, `s = max |w| / 127`.
    Int8,
}

/// Rounds the weights of at least two axes to a precision, in place, and
/// returns how many bytes the model then needs (all other parameters count 4
/// bytes a number). The numbers are those of the stored form, so that accuracy
/// can be measured; computation stays in `f32`, which is no faster.
///
/// # Errors
/// A weight that is not finite or, for [`Precision::F16`], beyond 65,504.
pub fn round_weights<M: Module>(model: &mut M, precision: Precision) -> Result<usize> {
    let mut bytes = 0;
    for (path, param) in model.params() {
        let worst = param.tensor().to_vec().into_iter().fold(0.0_f32, |m, w| m.max(w.abs()));
        let fits = param.tensor().is_finite() && (precision != Precision::F16 || worst <= 65_504.0);
        if !fits {
            let got = format!("{worst} in `{path}`");
            return Err(Error::argument("round_weights", "weight", got, "numbers that fit"));
        }
    }
    model.for_each_param(|_, param| {
        let dims = param.dims();
        if dims.len() < 2 {
            bytes += 4 * param.numel();
            return Ok(());
        }
        let row = dims[1..].iter().product::<usize>().max(1);
        bytes += match precision {
            Precision::F16 => 2 * param.numel(),
            Precision::Int8 => param.numel() + 4 * dims[0],
        };
        param.update(|weights| weights.chunks_mut(row).for_each(|w| round(w, precision)));
        Ok(())
    })?;
    Ok(bytes)
}

fn round(weights: &mut [f32], precision: Precision) {
    match precision {
        Precision::F16 => weights.iter_mut().for_each(|w| *w = f16::from_f32(*w).to_f32()),
        Precision::Int8 => {
            let scale = weights.iter().fold(0.0_f32, |m, w| m.max(w.abs())) / 127.0;
            if scale > 0.0 {
                weights.iter_mut().for_each(|w| *w = (*w / scale).round_ties_even() * scale);
            }
        }
    }
}
