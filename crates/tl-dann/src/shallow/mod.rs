//! Adaptation of features, whatever they come from; a file for each method.

mod coral;
mod gfk;
mod jdot;
mod kmm;
mod ratio;
mod subspace;
mod tca;
mod weighted_cv;

pub use coral::align_coral;
pub use gfk::geodesic_flow;
pub use jdot::{Jdot, propagate_labels, transport_map};
pub use kmm::kernel_mean_matching;
pub use ratio::logistic_ratio;
pub use subspace::align_subspaces;
pub use tca::transfer_components;
pub use weighted_cv::importance_weighted_risk;

use crate::{Error, Result};
use tl_nn::{Tensor, shallow::eigh};

/// Samples of source and target, and their dimensions.
fn pair(what: &'static str, s: &Tensor, t: &Tensor) -> Result<[usize; 3]> {
    match (s.dims(), t.dims()) {
        (&[n, d], &[m, d2]) if d == d2 && n > 1 && m > 1 => Ok([n, m, d]),
        (a, b) => {
            let got = format!("{a:?} and {b:?}");
            Err(Error::argument(what, "features", got, "[n, d] and [m, d], two samples or more"))
        }
    }
}

/// A symmetric matrix to a power.
fn power(a: &Tensor<f64>, exponent: f64) -> Result<Tensor<f64>> {
    let (values, vectors) = eigh(a)?;
    let scaled = vectors.mul(&values.clamp(1e-12, f64::INFINITY).powf(exponent).unsqueeze(0)?)?;
    Ok(scaled.matmul(&vectors.t()?)?)
}

/// `|x_i - y_j|²`, `[n, m]`.
fn squared_distances(x: &Tensor<f64>, y: &Tensor<f64>) -> Result<Tensor<f64>> {
    let cross = x.matmul(&y.t()?)?.mul_scalar(-2.0);
    Ok(cross.add(&x.square().sum(-1, true)?)?.add(&y.square().sum(-1, false)?)?.relu())
}

/// The middle number: the usual bandwidth.
fn median(numbers: &Tensor<f64>) -> f64 {
    let mut all = numbers.to_vec();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2].max(1e-12)
}
