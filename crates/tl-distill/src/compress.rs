//! Smaller weights after training.

use crate::{Error, Result};
use half::f16;
use serde::{Deserialize, Serialize};
use tl_nn::{Glob, Module, ModuleExt, Param, Tensor};

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

/// Which weights were taken away; keep them away while training goes on.
#[derive(Clone, Debug)]
pub struct Pruned {
    masks: Vec<(String, Tensor)>,
}

impl Pruned {
    /// Sets what was pruned to 0 again: call it after every optimiser step
    /// ([`Objective::after_step`](tl_nn::Objective::after_step)) of a
    /// fine-tuning.
    ///
    /// # Errors
    /// The model has other parameters.
    pub fn apply<M: Module>(&self, model: &mut M) -> Result<()> {
        let mut left = self.masks.len();
        model.for_each_param(|path, param| {
            if let Some((_, mask)) = self.masks.iter().find(|(name, _)| name == path) {
                masked(param, mask)?;
                left -= 1;
            }
            Ok(())
        })?;
        if left > 0 {
            let expected = "the model that was pruned";
            return Err(Error::argument("pruned", "parameters not found", left, expected));
        }
        Ok(())
    }

    /// The part of the weights considered that is 0, 0 to 1.
    pub fn sparsity(&self) -> f64 {
        let kept: f64 = self
            .masks
            .iter()
            .map(|(_, m)| m.to_vec().iter().map(|&x| f64::from(x)).sum::<f64>())
            .sum();
        let all: usize = self.masks.iter().map(|(_, m)| m.numel()).sum();
        1.0 - kept / all.max(1) as f64
    }
}

fn masked(param: &mut Param, mask: &Tensor) -> tl_nn::Result<()> {
    Ok(param.set_data(&param.tensor().detach().mul(mask)?)?)
}

/// Sets the `part` of smallest magnitude among the weights that a
/// [`Glob`] names to 0 (Han et al. 2015), by one threshold for all of them.
/// Parameters of one axis (biases, norms) are never pruned.
///
/// # Errors
/// `part` is not from 0 to below 1; the pattern names no weight.
pub fn prune_magnitude<M: Module>(model: &mut M, pattern: &str, part: f64) -> Result<Pruned> {
    if !(0.0..1.0).contains(&part) {
        return Err(Error::argument("prune_magnitude", "part", part, "from 0 to below 1"));
    }
    let glob = Glob::new(pattern)?;
    let chosen = |path: &str, param: &Param| param.dims().len() >= 2 && glob.matches(path);
    let mut order: Vec<(f32, usize)> = Vec::new();
    for (path, param) in model.params() {
        if chosen(&path, param) {
            let start = order.len();
            let sizes = param.tensor().to_vec().into_iter().enumerate();
            order.extend(sizes.map(|(i, w)| (w.abs(), start + i)));
        }
    }
    if order.is_empty() {
        let expected = "the path of a weight of at least two axes, such as `**.weight`";
        return Err(Error::argument("prune_magnitude", "pattern", pattern, expected));
    }
    let count = (order.len() as f64 * part).floor() as usize;
    let mut keep = vec![1.0_f32; order.len()];
    // By size, and of equal ones the first, so that the count is exact.
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    order[..count].iter().for_each(|&(_, at)| keep[at] = 0.0);
    let (mut masks, mut at) = (Vec::new(), 0);
    model.for_each_param(|path, param| {
        if chosen(path, param) {
            let mask = keep[at..at + param.numel()].to_vec();
            at += param.numel();
            let mask = Tensor::from_vec(mask, *param.tensor().shape())?;
            masked(param, &mask)?;
            masks.push((path.to_owned(), mask));
        }
        Ok(())
    })?;
    Ok(Pruned { masks })
}
