//! Multinomial logistic regression.

use super::{features, labels, positive};
use crate::{Ctx, Error, Forward, Lbfgs, Linear, Minimized, Param, Result};
use rand::{RngCore, seq::SliceRandom};
use serde::{Deserialize, Serialize};
use tl_tensor::{CrossEntropy, Indices, Tensor};

/// Multinomial logistic regression by L-BFGS: minimises
/// `C Σ_i -ln softmax(W x_i + b)_{y_i} + ½ |W|²`; the bias is not penalised
/// (scikit-learn's convention for `C`).
///
/// The result is a [`Linear`] layer, so it can stand as the head of a network.
/// Defaults: `C` = 1, 200 iterations, gradient tolerance 1e-5 of the mean loss.
/// Features of very different scales want standardising first.
///
/// ```
/// use tl_nn::{Tensor, shallow::LogisticRegression};
/// # fn main() -> tl_nn::Result<()> {
/// let x = Tensor::from_vec(vec![-2.0, -1.0, 1.0, 2.0], [4, 1])?;
/// let fit = LogisticRegression::new().fit(&x, &[0, 0, 1, 1], 2)?;
/// assert_eq!(fit.predict(&x)?, [0, 0, 1, 1]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogisticRegression {
    /// The inverse strength of the penalty.
    pub c: f64,
    /// The most iterations.
    pub iterations: usize,
    /// Stops when no number of the gradient of the mean loss is larger.
    pub tolerance: f64,
}

impl Default for LogisticRegression {
    fn default() -> Self {
        Self { c: 1.0, iterations: 200, tolerance: 1e-5 }
    }
}

/// A fitted logistic regression.
#[derive(Clone, Debug)]
pub struct LogisticFit {
    /// The weights `[classes, d]` and biases.
    pub head: Linear,
    /// The inverse strength of the penalty that was used.
    pub c: f64,
    /// How the minimisation ended.
    pub minimized: Minimized,
}

impl LogisticFit {
    /// The logits of features `[n, d]`, `[n, classes]`.
    ///
    /// # Errors
    /// Another number of dimensions than in training.
    pub fn logits(&self, x: &Tensor) -> Result<Tensor> {
        self.head.forward(x, &mut Ctx::eval())
    }

    /// The most likely classes of features `[n, d]`.
    ///
    /// # Errors
    /// Another number of dimensions than in training; NaN.
    pub fn predict(&self, x: &Tensor) -> Result<Vec<usize>> {
        crate::metric::predictions(&self.logits(x)?)
    }
}

impl LogisticRegression {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another inverse strength of the penalty.
    #[must_use]
    pub fn c(mut self, c: f64) -> Self {
        self.c = c;
        self
    }

    /// Fits features `[n, d]` and their labels in `0..classes`.
    ///
    /// # Errors
    /// Features that are not a finite matrix; labels that do not fit; `c` not
    /// above 0.
    pub fn fit(&self, x: &Tensor, y: &[usize], classes: usize) -> Result<LogisticFit> {
        let [n, d] = features("logistic regression", x)?;
        labels("logistic regression", y, n, classes)?;
        positive("logistic regression", "c", self.c)?;
        let targets = Indices::from(y);
        let x = x.detach();
        let penalty = 1.0 / (2.0 * self.c * n as f64);
        let mut head = Linear {
            weight: Param::new(Tensor::zeros([classes, d])),
            bias: Some(Param::new(Tensor::zeros([classes]))),
        };
        let solver = Lbfgs {
            iterations: self.iterations,
            gradient_tolerance: self.tolerance,
            ..Lbfgs::default()
        };
        let minimized = solver.minimize(&mut head, |head| {
            // Near the optimum the loss changes by less than single precision
            // tells apart.
            let logits = head.forward(&x, &mut Ctx::eval())?.cast::<f64>();
            let weight = head.weight.tensor().cast::<f64>().square().sum_all();
            let loss = CrossEntropy::new().loss(&logits, &targets)?;
            let loss = loss.add(&weight.mul_scalar(penalty))?;
            Ok((loss.item()?, loss.backward()?))
        })?;
        Ok(LogisticFit { head, c: self.c, minimized })
    }

    /// Chooses `c` of `candidates` by the accuracy in `folds`-fold
    /// cross-validation, then fits all samples. Of equal ones the first, so
    /// give the strongest penalty first.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); no candidate; fewer samples than folds or fewer
    /// than two folds.
    pub fn fit_cross_validated(
        &self,
        x: &Tensor,
        y: &[usize],
        classes: usize,
        candidates: &[f64],
        folds: usize,
        rng: &mut dyn RngCore,
    ) -> Result<LogisticFit> {
        let what = "logistic regression";
        let [n, _] = features(what, x)?;
        labels(what, y, n, classes)?;
        if folds < 2 || n < folds {
            return Err(Error::argument(what, "folds", folds, format!("2 to {n}, the samples")));
        }
        let parts = stratified(y, folds, rng);
        let mut best: Option<(f64, usize)> = None;
        for &c in candidates {
            let mut right = 0;
            for part in &parts {
                let rest: Vec<usize> = parts
                    .iter()
                    .filter(|other| !std::ptr::eq(*other, part))
                    .flatten()
                    .copied()
                    .collect();
                let pick = |ids: &[usize]| x.index_select(0, &Indices::from(ids));
                let truth: Vec<usize> = rest.iter().map(|&i| y[i]).collect();
                let fit = self.clone().c(c).fit(&pick(&rest)?, &truth, classes)?;
                let predicted = fit.predict(&pick(part)?)?;
                right += predicted.iter().zip(part).filter(|&(p, &i)| *p == y[i]).count();
            }
            if best.is_none_or(|(_, most)| right > most) {
                best = Some((c, right));
            }
        }
        let Some((c, _)) = best else {
            return Err(Error::argument(what, "candidates", "none", "at least one value of c"));
        };
        self.clone().c(c).fit(x, y, classes)
    }
}

/// Samples dealt into folds class by class.
fn stratified(y: &[usize], folds: usize, rng: &mut dyn RngCore) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..y.len()).collect();
    order.shuffle(rng);
    order.sort_by_key(|&i| y[i]);
    let mut parts = vec![Vec::new(); folds];
    for (at, i) in order.into_iter().enumerate() {
        parts[at % folds].push(i);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use rand::SeedableRng;

    #[test]
    fn the_gradient_at_the_optimum_is_zero() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let x: Tensor = Tensor::randn([60, 4], &mut rng);
        let y: Vec<usize> = (0..60).map(|i| i * 7 % 3).collect();
        let fit = LogisticRegression::new().c(0.5).fit(&x, &y, 3)?;
        let p = fit.logits(&x)?.softmax(1)?;
        let residual = p.sub(&Tensor::one_hot(&Indices::from(&y[..]), 3)?)?;
        let slope = residual.t()?.matmul(&x)?.mul_scalar(0.5).add(fit.head.weight.tensor())?;
        for g in slope.to_vec() {
            assert_abs_diff_eq!(g, 0.0, epsilon = 1e-3);
        }
        for g in residual.sum(0, false)?.to_vec() {
            assert_abs_diff_eq!(g, 0.0, epsilon = 1e-3);
        }
        Ok(())
    }

    #[test]
    fn cross_validation_prefers_a_penalty_where_labels_are_noise() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(2);
        let x: Tensor = Tensor::randn([80, 70], &mut rng);
        let signal = x.narrow(1, 0, 1)?.to_vec();
        let y: Vec<usize> = signal
            .iter()
            .enumerate()
            .map(|(i, s)| usize::from(*s > 0.0) ^ usize::from(i % 4 == 0))
            .collect();
        let fit =
            LogisticRegression::new().fit_cross_validated(&x, &y, 2, &[1e-3, 1e3], 5, &mut rng)?;
        assert_eq!(fit.c, 1e-3);
        Ok(())
    }

    #[test]
    fn labels_that_do_not_fit_are_refused() {
        let x = Tensor::zeros([3, 2]);
        let error = LogisticRegression::new().fit(&x, &[0, 1, 2], 2).unwrap_err().to_string();
        assert!(error.contains("less than 2"), "{error}");
        let error =
            LogisticRegression::new().c(0.0).fit(&x, &[0, 1, 1], 2).unwrap_err().to_string();
        assert!(error.contains("above 0"), "{error}");
    }
}
