//! Embarrassingly simple zero-shot learning.

use super::{Compatibility, Method, Project, Similarity};
use crate::{Error, Result, Seen};
use serde::{Deserialize, Serialize};
use tl_nn::Tensor;

/// ESZSL (Romera-Paredes and Torr 2015, eq. 6): the bilinear map
/// `V = (XᵀX + γ I)⁻¹ Xᵀ Y S (SᵀS + λ I)⁻¹` in closed form, for samples `X`
/// `[n, d]`, signatures `S` `[classes, a]` and `Y` with 1 for a sample's class
/// and -1 for the others, as in the paper; the score is `x V s`. Choose `γ` and
/// `λ` in 10⁻³ to 10³ with [`choose`](crate::choose), in double precision
/// throughout. Defaults: 1 and 1.
///
/// The score is a plain product, so a class with a long signature wins too
/// often: bring signatures to length 1 with
/// [`Signatures::unit`](crate::Signatures::unit).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eszsl {
    /// Ridge on the side of the samples, above 0.
    pub gamma: f64,
    /// Ridge on the side of the signatures, above 0.
    pub lambda: f64,
}

impl Default for Eszsl {
    fn default() -> Self {
        Self { gamma: 1.0, lambda: 1.0 }
    }
}

impl Eszsl {
    /// All settings of the paper's grid, powers of 10 from -3 to 3.
    pub fn grid() -> Vec<Self> {
        let powers = || (-3..=3).map(|p| 10_f64.powi(p));
        powers().flat_map(|gamma| powers().map(move |lambda| Self { gamma, lambda })).collect()
    }
}

/// A linear map into the space of signatures.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    /// `[d, a]`.
    pub(super) map: Tensor,
    pub(super) similarity: Similarity,
}

impl Project for Linear {
    fn project(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.matmul(&self.map)?)
    }

    fn similarity(&self) -> Similarity {
        self.similarity
    }
}

/// `a + ridge I`, factored.
fn factor(a: &Tensor<f64>, ridge: f64) -> Result<Tensor<f64>> {
    let n = a.size(0)?;
    Ok(a.add(&Tensor::<f64>::eye(n).mul_scalar(ridge))?.cholesky()?)
}

impl Method for Eszsl {
    fn name(&self) -> &'static str {
        "ESZSL"
    }

    fn fit(&self, seen: &Seen) -> Result<Box<dyn Compatibility>> {
        for (name, value) in [("gamma", self.gamma), ("lambda", self.lambda)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::argument("ESZSL", name, value, "a number above 0"));
            }
        }
        let x = seen.features().cast::<f64>();
        let s = seen.signatures().table().cast::<f64>();
        let y = Tensor::<f64>::one_hot(&seen.labels().into(), seen.classes())?;
        let y = y.mul_scalar(2.0).add_scalar(-1.0);
        let xys = x.t()?.matmul(&y.matmul(&s)?)?;
        let left = factor(&x.t()?.matmul(&x)?, self.gamma)?.cholesky_solve(&xys)?;
        let right = factor(&s.t()?.matmul(&s)?, self.lambda)?.cholesky_solve(&left.t()?)?;
        let map = right.t()?.cast::<f32>();
        Ok(Box::new(Linear { map, similarity: Similarity::Dot }))
    }
}
