//! Gradient normalisation.

use super::{LEAST_LOSS, Moments};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// GradNorm (Chen et al. 2018, algorithm 1): the weights of the losses and what
/// they remember.
///
/// With the norms `n_i` of the gradients of unweighted losses on one shared
/// layer, the weighted ones `G_i = w_i n_i`, their mean `Ḡ`, and the inverse
/// training rates `r_i = (L_i / L_i(0)) / mean`, the weights go down the slope of
/// `Σ |G_i - Ḡ r_i^α|`, whose second part is held constant, by Adam; then they are scaled
/// so that those of the tasks that are there sum to their number. `L_i(0)` is
/// the loss of the first step that has this task.
///
/// ```
/// use tl_multitask::GradNorm;
/// # fn main() -> tl_multitask::Result<()> {
/// let mut state = GradNorm::new(2);
/// // Equal rates; the first gradient is far too long.
/// state.update(&[0, 1], &[10.0, 1.0], &[1.0, 1.0], 1.5, 0.1)?;
/// assert!(state.weights[0] < 1.0 && state.weights[1] > 1.0);
/// assert!((state.weights.iter().sum::<f64>() - 2.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GradNorm {
    /// The weight of each task.
    pub weights: Vec<f64>,
    /// The loss of each task in the beginning; NaN before its first step.
    pub initial: Vec<f64>,
    /// Of each weight.
    pub moments: Vec<Moments>,
}

/// A weight never falls below this: at 0 its task would be gone for good.
const LEAST: f64 = 1e-3;

impl GradNorm {
    /// All weights 1.
    pub fn new(tasks: usize) -> Self {
        Self {
            weights: vec![1.0; tasks],
            initial: vec![f64::NAN; tasks],
            moments: vec![Moments::default(); tasks],
        }
    }

    /// A step of the weights of the tasks that are `present`, from the norms of
    /// their unweighted gradients and their losses. The others stay.
    ///
    /// # Errors
    /// Not a finite norm and a finite loss from 0 for each task.
    pub fn update(
        &mut self,
        present: &[usize],
        norms: &[f64],
        losses: &[f64],
        alpha: f64,
        lr: f64,
    ) -> Result<()> {
        let fits = norms.len() == present.len() && losses.len() == present.len();
        if !fits || present.iter().any(|&i| i >= self.weights.len()) {
            let got = format!("{} norms and {} losses", norms.len(), losses.len());
            let expected = format!("as many as the {} tasks", present.len());
            return Err(Error::argument("GradNorm", "norms", got, expected));
        }
        if let Some(bad) = losses.iter().find(|l| !(l.is_finite() && **l >= 0.0)) {
            let expected = "finite losses from 0, as their ratios are taken";
            return Err(Error::argument("GradNorm", "loss", bad, expected));
        }
        if let Some(bad) = norms.iter().find(|n| !(n.is_finite() && **n >= 0.0)) {
            return Err(Error::argument("GradNorm", "norm", bad, "finite norms from 0"));
        }
        let n = present.len() as f64;
        // A batch that a task fits perfectly has a loss of 0.
        let losses: Vec<f64> = losses.iter().map(|l| l.max(f64::from(LEAST_LOSS))).collect();
        for (&i, &loss) in present.iter().zip(&losses) {
            if self.initial[i].is_nan() {
                self.initial[i] = loss;
            }
        }
        let ratios: Vec<f64> =
            present.iter().zip(&losses).map(|(&i, loss)| loss / self.initial[i]).collect();
        let mean_ratio = ratios.iter().sum::<f64>() / n;
        let weighted: Vec<f64> =
            present.iter().zip(norms).map(|(&i, norm)| self.weights[i] * norm).collect();
        let mean = weighted.iter().sum::<f64>() / n;
        for (at, &i) in present.iter().enumerate() {
            let off = weighted[at] - mean * (ratios[at] / mean_ratio).powf(alpha);
            let sign = if off == 0.0 { 0.0 } else { off.signum() };
            let by = self.moments[i].step(norms[at] * sign, lr);
            self.weights[i] = (self.weights[i] - by).max(LEAST);
        }
        let sum: f64 = present.iter().map(|&i| self.weights[i]).sum();
        present.iter().for_each(|&i| self.weights[i] *= n / sum);
        Ok(())
    }
}
