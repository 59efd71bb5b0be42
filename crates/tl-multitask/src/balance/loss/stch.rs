//! Smooth Tchebycheff scalarisation.

use super::There;
use crate::Result;
use tl_nn::Tensor;

/// `T μ ln Σ exp(ln(L_i / n_i) / μ)` (Lin et al. 2024, eq. 8, on logarithms as
/// their code has it). A task without a nadir `n_i` counts with 1.
pub(super) fn loss(there: &There<'_>, nadir: &[f32], mu: f32) -> Result<(Tensor, Vec<f32>)> {
    let n = there.len() as f32;
    let shift = |i: usize| if nadir[i] > 0.0 { -nadir[i].ln() } else { 0.0 };
    let shifted: Vec<Tensor> = there
        .logarithms()?
        .iter()
        .zip(&there.tasks)
        .map(|(l, &i)| l.add_scalar(shift(i)).mul_scalar(1.0 / mu))
        .collect();
    let stacked = Tensor::stack(&shifted.iter().collect::<Vec<_>>(), 0)?;
    let parts = stacked.softmax(0)?.to_vec();
    let total = stacked.logsumexp(.., false)?.mul_scalar(mu * n);
    Ok((total, parts.iter().zip(&there.values).map(|(p, v)| n * p / v).collect()))
}
