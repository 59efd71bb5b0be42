//! The mean of the projections onto the dual cone.

use super::Gram;
use crate::{Result, balance::solve::Qp};

/// What is added to the diagonal of `G / trace G`.
const REGULARISATION: f64 = 1e-4;

/// UPGrad's weights (Quinton and Rey 2024, definition 2 and proposition 1):
/// `Σ_i argmin {vᵀGv : v >= e_i / T}`.
pub(super) fn upgrad(gram: &Gram) -> Result<Vec<f64>> {
    let t = gram.tasks();
    let qp = Qp::new(gram, REGULARISATION)?;
    let mut lower = vec![0.0; t];
    let mut sum = vec![0.0; t];
    for i in 0..t {
        lower[i] = 1.0 / t as f64;
        sum.iter_mut().zip(qp.solve(&lower)).for_each(|(s, v)| *s += v);
        lower[i] = 0.0;
    }
    Ok(sum)
}
