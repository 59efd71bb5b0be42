//! The semantic auto-encoder.

use super::{Compatibility, Method, Similarity, eszsl::Linear, gram::gram};
use crate::{Error, Result, Seen, semantics::unit_rows};
use serde::{Deserialize, Serialize};
use tl_nn::{Tensor, shallow::eigh};

/// In which space samples and classes are compared. The best `λ` differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Samples are encoded to signatures ("F→S").
    #[default]
    FeatureToSemantic,
    /// Signatures are decoded to features ("S→F").
    SemanticToFeature,
}

/// SAE (Kodirov et al. 2017, eq. 5): one matrix `W` `[a, d]` that encodes samples
/// to their signatures and, transposed, decodes them:
/// `min |X - Wᵀ S|² + λ |W X - S|²`. That is the Sylvester equation
/// `S Sᵀ W + λ W X Xᵀ = (1 + λ) S Xᵀ`, solved by two eigendecompositions.
/// Samples and signatures are compared by cosine, with samples and signatures
/// of length 1. Default `λ`: 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sae {
    /// What encoding weighs beside decoding, above 0.
    pub lambda: f64,
    /// Where samples and classes are compared.
    #[serde(default)]
    pub direction: Direction,
}

impl Default for Sae {
    fn default() -> Self {
        Self { lambda: 1.0, direction: Direction::FeatureToSemantic }
    }
}

/// `W` with `A W + W B = C` for symmetric positive semi-definite `A` `[a, a]` and
/// `B` `[d, d]` (Bartels and Stewart 1972, for symmetric matrices):
/// `W = U [(Uᵀ C V)_ij / (α_i + β_j)] Vᵀ` with the eigenvectors `U`, `V` and
/// eigenvalues `α`, `β`. Where `α_i + β_j` is 0 up to rounding, so is the term:
/// the solution of least norm.
///
/// # Errors
/// Shapes that do not fit; numbers that are not finite.
pub fn sylvester(a: &Tensor<f64>, b: &Tensor<f64>, c: &Tensor<f64>) -> Result<Tensor<f64>> {
    let ((alpha, u), (beta, v)) = (eigh(a)?, eigh(b)?);
    let sums = alpha.unsqueeze(1)?.add(&beta.unsqueeze(0)?)?;
    let largest = sums.to_vec().into_iter().fold(0.0, f64::max);
    let floor = largest * 1e-13;
    let inverse = sums.map_constant(|s| if s > floor { 1.0 / s } else { 0.0 });
    let inner = u.t()?.matmul(c)?.matmul(&v)?.mul(&inverse)?;
    Ok(u.matmul(&inner)?.matmul(&v.t()?)?)
}

/// The encoder `W` `[a, d]` of [`Sae`] in double precision, from samples `x`
/// `[n, d]` and the signature of each sample's class `[n, a]` (rows are samples:
/// the paper's `X` and `S` transposed). Nothing is scaled here; [`Sae`] brings
/// both to length 1 before.
///
/// # Errors
/// Shapes that do not fit; `lambda` not above 0; numbers that are not finite.
pub fn sae_encoder(x: &Tensor<f64>, signatures: &Tensor<f64>, lambda: f64) -> Result<Tensor<f64>> {
    if !(lambda.is_finite() && lambda > 0.0) {
        return Err(Error::argument("SAE", "lambda", lambda, "a number above 0"));
    }
    let b = gram(x)?.mul_scalar(lambda);
    let c = signatures.t()?.matmul(x)?.mul_scalar(1.0 + lambda);
    sylvester(&gram(signatures)?, &b, &c)
}

/// Signatures decoded to features and compared there by cosine.
#[derive(Clone, Debug)]
struct Decoder {
    /// `[a, d]`.
    map: Tensor,
}

impl Compatibility for Decoder {
    fn scores(&self, x: &Tensor, signatures: &Tensor) -> Result<Tensor> {
        let decoded = unit_rows(&unit_rows(signatures)?.matmul(&self.map)?)?;
        Ok(unit_rows(x)?.matmul(&decoded.t()?)?)
    }
}

impl Method for Sae {
    fn name(&self) -> &'static str {
        "SAE"
    }

    fn fit(&self, seen: &Seen) -> Result<Box<dyn Compatibility>> {
        let x = unit_rows(seen.features())?.cast::<f64>();
        let s = unit_rows(&seen.targets()?)?.cast::<f64>();
        let map = sae_encoder(&x, &s, self.lambda)?.cast::<f32>();
        Ok(match self.direction {
            Direction::FeatureToSemantic => {
                let encoder = Linear { map: map.t()?.contiguous(), similarity: Similarity::Cosine };
                Box::new(encoder)
            }
            Direction::SemanticToFeature => Box::new(Decoder { map }),
        })
    }
}
