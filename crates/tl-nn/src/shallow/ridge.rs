//! Ridge regression.

use super::{features, labels};
use crate::{Error, Linear, Param, Result};
use serde::{Deserialize, Serialize};
use tl_tensor::{Indices, Tensor};

/// Ridge regression in closed form: minimises `|Y - X W' - b|² + alpha |W|²`;
/// the bias is not penalised. Solved through a Cholesky factor in double
/// precision, of `[d, d]` or, with fewer samples than dimensions, of `[n, n]`.
///
/// The result is a [`Linear`] layer. Default `alpha`: 1.
///
/// ```
/// use tl_nn::{Ctx, Forward, Tensor, shallow::Ridge};
/// # fn main() -> tl_nn::Result<()> {
/// let x = Tensor::from_vec(vec![0.0, 1.0, 2.0, 3.0], [4, 1])?;
/// let y = x.mul_scalar(2.0).add_scalar(1.0);
/// let line = Ridge::new(1e-6).fit(&x, &y)?;
/// let five = line.forward(&Tensor::full([1, 1], 5.0), &mut Ctx::eval())?;
/// assert!((five.item()? - 11.0).abs() < 1e-3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ridge {
    /// The strength of the penalty, above 0.
    pub alpha: f64,
}

impl Default for Ridge {
    fn default() -> Self {
        Self::new(1.0)
    }
}

impl Ridge {
    /// With that strength of the penalty.
    pub fn new(alpha: f64) -> Self {
        Self { alpha }
    }

    /// Fits features `[n, d]` to targets `[n, k]`.
    ///
    /// # Errors
    /// Matrices that are not finite or have different numbers of rows; `alpha`
    /// not above 0.
    pub fn fit(&self, x: &Tensor, y: &Tensor) -> Result<Linear> {
        let [n, d] = features("ridge", x)?;
        let [rows, _] = features("ridge", y)?;
        if rows != n {
            return Err(Error::argument(
                "ridge",
                "y",
                format!("{rows} rows"),
                format!("{n}, as x"),
            ));
        }
        super::positive("ridge", "alpha", self.alpha)?;
        let (x, y) = (x.detach().cast::<f64>(), y.detach().cast::<f64>());
        let (x_mean, y_mean) = (x.mean(0, true)?, y.mean(0, true)?);
        let (x, y) = (x.sub(&x_mean)?, y.sub(&y_mean)?);
        let xt = x.t()?;
        let damp = |size| Tensor::<f64>::eye(size).mul_scalar(self.alpha);
        let weight = if d <= n {
            let a = xt.matmul(&x)?.add(&damp(d))?;
            a.cholesky()?.cholesky_solve(&xt.matmul(&y)?)?
        } else {
            let a = x.matmul(&xt)?.add(&damp(n))?;
            xt.matmul(&a.cholesky()?.cholesky_solve(&y)?)?
        };
        let bias = y_mean.sub(&x_mean.matmul(&weight)?)?;
        Ok(Linear {
            weight: Param::new(weight.t()?.contiguous().cast()),
            bias: Some(Param::new(bias.reshape(bias.numel())?.cast())),
        })
    }

    /// Fits labels in `0..classes` through targets 1 for the class and -1 for
    /// the others; the largest output is the class.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); labels that do not fit.
    pub fn fit_classes(&self, x: &Tensor, y: &[usize], classes: usize) -> Result<Linear> {
        let [n, _] = features("ridge", x)?;
        labels("ridge", y, n, classes)?;
        self.fit(x, &Tensor::one_hot(&Indices::from(y), classes)?.affine(2.0, -1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use rand::SeedableRng;

    #[test]
    fn both_forms_meet_the_normal_equations() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for (n, d) in [(12, 5), (5, 12)] {
            let x: Tensor = Tensor::randn([n, d], &mut rng);
            let y: Tensor = Tensor::randn([n, 2], &mut rng);
            let fit = Ridge::new(0.7).fit(&x, &y)?;
            let w = fit.weight.tensor().t()?;
            let bias = fit.bias.as_ref().map(|b| b.tensor().clone()).unwrap();
            let residual = x.matmul(&w)?.add(&bias)?.sub(&y)?;
            let slope = x.t()?.matmul(&residual)?.add(&w.mul_scalar(0.7))?;
            for g in slope.to_vec().into_iter().chain(residual.sum(0, false)?.to_vec()) {
                assert_abs_diff_eq!(g, 0.0, epsilon = 1e-4);
            }
        }
        Ok(())
    }

    #[test]
    fn bad_arguments_are_refused() {
        let (x, y) = (Tensor::zeros([3, 2]), Tensor::zeros([4, 1]));
        assert!(Ridge::new(1.0).fit(&x, &y).unwrap_err().to_string().contains("3, as x"));
        let error = Ridge::new(0.0).fit(&x, &Tensor::zeros([3, 1])).unwrap_err().to_string();
        assert!(error.contains("above 0"), "{error}");
    }
}
