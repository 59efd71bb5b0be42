//! Balancers with a learned scale for each task.

use super::{There, sum};
use crate::{Error, Kind, Result, balance::Moments};
use tl_nn::Tensor;

/// Uncertainty weighting (Kendall et al. 2018, eq. 7 and 10): with the learned
/// scale `s` of every task `[tasks]` the sum over the tasks that are there of
///
/// - `½ e^(-s) L + ½ s` for a squared error (a Gaussian, `s = ln σ²`),
/// - `e^(-s) L + s` for an absolute error (a Laplacian, `s = ln b`),
/// - `e^(-s) L + ½ s` for a cross entropy (logits over `σ²`, `s = ln σ²`).
///
/// The sum may be negative. Also returns the weights. Much code in the field
/// has the first form for all.
///
/// # Errors
/// Not a kind and a number for each loss; no loss.
pub fn uncertainty(
    losses: &[Option<Tensor>],
    log_variance: &Tensor,
    kinds: &[Kind],
) -> Result<(Tensor, Vec<f32>)> {
    if losses.len() != kinds.len() {
        let got = format!("{} losses, {} kinds", losses.len(), kinds.len());
        return Err(Error::argument("uncertainty", "losses", got, "as many kinds"));
    }
    let scaled = |i: usize, loss: &Tensor, s: &Tensor| {
        let (factor, penalty) = kinds[i].uncertainty();
        let weight = s.neg().exp().mul_scalar(factor);
        Ok((loss.mul(&weight)?.add(&s.mul_scalar(penalty))?, weight))
    };
    learned("uncertainty", losses, log_variance, scaled)
}

/// IMTL-L (Liu et al. 2021, eq. 7): `Σ e^s L - s` with the learned scale `s` of
/// every task `[tasks]`, which brings all scaled losses to 1. Also returns the
/// weights.
///
/// # Errors
/// Not a number for each loss; no loss.
pub fn imtl_l(losses: &[Option<Tensor>], scale: &Tensor) -> Result<(Tensor, Vec<f32>)> {
    learned("IMTL-L", losses, scale, |_, loss: &Tensor, s: &Tensor| {
        let weight = s.exp();
        Ok((loss.mul(&weight)?.sub(s)?, weight))
    })
}

fn learned(
    what: &'static str,
    losses: &[Option<Tensor>],
    scale: &Tensor,
    scaled: impl Fn(usize, &Tensor, &Tensor) -> tl_tensor::Result<(Tensor, Tensor)>,
) -> Result<(Tensor, Vec<f32>)> {
    if scale.dims() != [losses.len()] {
        let expected = format!("[{}], one for each loss", losses.len());
        return Err(Error::argument(what, "scale", format!("{:?}", scale.dims()), expected));
    }
    let there = There::of(losses, losses.len())?;
    let (mut parts, mut weights) = (Vec::new(), Vec::new());
    for (&i, loss) in there.tasks.iter().zip(&there.losses) {
        let (part, weight) = scaled(i, loss, &scale.select(0, i)?)?;
        parts.push(part);
        weights.push(weight.item().map_err(tl_nn::Error::from)?);
    }
    Ok((sum(&parts)?, weights))
}

/// The scales under training, by Adam without weight decay: they are no weights
/// of the model. That of a missing task stays, moments and all.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Learned {
    /// `s` of each task.
    pub(crate) scales: Vec<f64>,
    pub(crate) moments: Vec<Moments>,
}

impl Learned {
    pub(crate) fn new(tasks: usize) -> Self {
        Self { scales: vec![0.0; tasks], moments: vec![Moments::default(); tasks] }
    }

    /// `s` of all tasks.
    pub(crate) fn tensor(&self) -> Result<Tensor> {
        let s: Vec<f32> = self.scales.iter().map(|s| *s as f32).collect();
        Ok(Tensor::from_slice(&s, s.len())?)
    }

    /// A step of one task's `s` down this slope.
    pub(crate) fn step(&mut self, task: usize, slope: f64, lr: f64) {
        self.scales[task] -= self.moments[task].step(slope, lr);
    }
}
