//! Embarrassingly simple zero-shot learning.

use super::{Compatibility, Method, Project, Similarity, gram::gram, positive::solve};
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

/// `(xᵀx + ridge I)⁻¹ b`.
fn ridged(x: &Tensor<f64>, ridge: f64, b: &Tensor<f64>) -> Result<Tensor<f64>> {
    let damp = Tensor::<f64>::eye(x.size(1)?).mul_scalar(ridge);
    solve(&gram(x)?.add(&damp)?, b)
}

/// The matrix `V` `[d, a]` of [`Eszsl`] in double precision, from samples `x`
/// `[n, d]`, the class of each, and the signatures of the classes `[classes, a]`.
///
/// As `Y = 2 H - 1` with a one in each row of `H`, `Xᵀ Y S` is
/// `2 (HᵀX)ᵀ S - (Σ_i x_i) (Σ_c s_c)ᵀ`: sums over classes in place of a product
/// over samples.
///
/// # Errors
/// Shapes that do not fit; a label that is no row of `signatures`; a ridge not
/// above 0; numbers that are not finite.
pub fn eszsl_map(
    x: &Tensor<f64>,
    labels: &[usize],
    signatures: &Tensor<f64>,
    gamma: f64,
    lambda: f64,
) -> Result<Tensor<f64>> {
    for (name, value) in [("gamma", gamma), ("lambda", lambda)] {
        if !(value.is_finite() && value > 0.0) {
            return Err(Error::argument("ESZSL", name, value, "a number above 0"));
        }
    }
    let (d, classes) = (x.size(-1)?, signatures.size(0)?);
    let [sums, all] = class_sums(x, labels, classes)?;
    let signed = sums.t()?.matmul(signatures)?.mul_scalar(2.0);
    let xys = signed.sub(&all.reshape([d, 1])?.matmul(&signatures.sum(0, true)?)?)?;
    let left = ridged(x, gamma, &xys)?;
    let right = ridged(signatures, lambda, &left.t()?)?;
    Ok(right.t()?.contiguous())
}

/// The sums of the rows of each class, `[classes, d]`, and of all rows, `[d]`.
fn class_sums(x: &Tensor<f64>, labels: &[usize], classes: usize) -> Result<[Tensor<f64>; 2]> {
    if x.rank() != 2 || x.dims()[0] != labels.len() || labels.iter().any(|&l| l >= classes) {
        let got = format!("{} labels for samples {:?}", labels.len(), x.dims());
        let expected = format!("one below {classes} for each row of a matrix");
        return Err(Error::argument("ESZSL", "labels", got, expected));
    }
    let none = Tensor::zeros([classes, x.dims()[1]]);
    let sums = none.index_add(0, &labels.into(), x)?;
    let all = sums.sum(0, false)?;
    Ok([sums, all])
}

impl Method for Eszsl {
    fn name(&self) -> &'static str {
        "ESZSL"
    }

    fn fit(&self, seen: &Seen) -> Result<Box<dyn Compatibility>> {
        let x = seen.features().cast::<f64>();
        let s = seen.signatures().table().cast::<f64>();
        let map = eszsl_map(&x, seen.labels(), &s, self.gamma, self.lambda)?.cast::<f32>();
        Ok(Box::new(Linear { map, similarity: Similarity::Dot }))
    }
}
