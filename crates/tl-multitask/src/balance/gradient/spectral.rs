//! Balancers that look at the eigenvalues of the Gram matrix.

use super::Gram;
use crate::Result;
use tl_nn::shallow::eigh;

/// Eigenvalues below this part of the largest are taken for 0.
const RANK: f64 = 1e-10;

/// Eigenvalues above rounding, ascending, with their vectors.
fn spectrum(gram: &Gram) -> Result<Vec<(f64, Vec<f64>)>> {
    let t = gram.tasks();
    let (values, vectors) = eigh(&gram.tensor()?)?;
    let (values, flat) = (values.to_vec(), vectors.to_vec());
    let largest = values.iter().copied().fold(0.0, f64::max);
    let column = |k: usize| (0..t).map(|i| flat[i * t + k]).collect();
    let pairs = values.iter().enumerate().filter(|(_, v)| **v > RANK * largest);
    Ok(pairs.map(|(k, v)| (*v, column(k))).collect())
}

/// IMTL-G (Liu et al. 2021, section 3.2): `w ∝ G⁺ √diag G` with sum 1, so that
/// the projections onto all unit gradients are equal.
pub(super) fn imtl_g(gram: &Gram) -> Result<Vec<f64>> {
    let t = gram.tasks();
    let norms: Vec<f64> = (0..t).map(|i| gram.norm(i)).collect();
    let mut w = vec![0.0; t];
    for (value, v) in spectrum(gram)? {
        let along: f64 = v.iter().zip(&norms).map(|(a, b)| a * b).sum::<f64>() / value;
        w.iter_mut().zip(&v).for_each(|(w, v)| *w += along * v);
    }
    let sum: f64 = w.iter().sum();
    if sum.abs() < 1e-12 * w.iter().map(|w| w.abs()).sum::<f64>().max(1e-300) {
        // No impartial combination with sum 1: gradients that oppose each other.
        return Ok(vec![0.0; t]);
    }
    Ok(w.into_iter().map(|w| w / sum).collect())
}

/// Aligned-MTL (Senushkin et al. 2023, algorithm 1): `√λ_min V Λ^(-1/2) Vᵀ 1/T`.
pub(super) fn aligned(gram: &Gram) -> Result<Vec<f64>> {
    let t = gram.tasks();
    let spectrum = spectrum(gram)?;
    let smallest = spectrum.first().map_or(0.0, |(value, _)| *value);
    let mut w = vec![0.0; t];
    for (value, v) in &spectrum {
        let along = v.iter().sum::<f64>() / t as f64 * (smallest / value).sqrt();
        w.iter_mut().zip(v).for_each(|(w, v)| *w += along * v);
    }
    Ok(w)
}
