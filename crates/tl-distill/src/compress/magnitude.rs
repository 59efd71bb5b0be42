//! Single weights that are taken away.

use crate::{Error, Result};
use tl_nn::{Glob, Module, ModuleExt, Param, Tensor};

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
