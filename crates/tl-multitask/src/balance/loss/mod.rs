//! Balancers of losses.

mod dwa;
mod famo;
mod gls;
mod learned;
mod rlw;
mod state;
mod stch;

pub(crate) use learned::Learned;
pub use learned::{imtl_l, uncertainty};
pub use state::LossState;

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tl_nn::Tensor;

/// A rule that makes one loss of several. All but GLS, STCH and FAMO are a
/// weighted sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum LossBalancer {
    /// These weights; none for 1 each.
    Fixed(Vec<f32>),
    /// Dynamic weight average (Liu et al. 2019, eq. 7): `T softmax(r / τ)` with
    /// `r = L(t-1) / L(t-2)` of epoch means; 1 each in the first two epochs. The
    /// paper's `τ` is 2.
    Dwa {
        /// The temperature.
        temperature: f32,
    },
    /// Random weights `T softmax(N(0, 1))` at every step (Lin et al. 2022): the
    /// baseline that many methods do not beat.
    Rlw,
    /// The geometric mean `exp(mean ln L)` (Chennupati et al. 2019).
    Gls,
    /// Smooth Tchebycheff (Lin et al. 2024, eq. 8): `μ ln Σ exp(ln(L_i / n_i) / μ)`
    /// times `T`, with `n_i` the mean loss of the last warm-up epoch.
    Stch {
        /// How smooth; the paper takes about 0.1 to 1.
        mu: f32,
        /// Epochs in which the losses are summed and `n_i` is found. The authors'
        /// code has 4.
        warm_up: usize,
    },
    /// FAMO (Liu et al. 2023, algorithm 1): `c Σ z_i ln L_i` with `z = softmax ξ`
    /// and `c = 1 / Σ (z_i / L_i)`; `ξ` follows how much each logarithm fell.
    /// Here the fall is measured on the next batch, not by a second pass over the
    /// same one: one pass a step.
    Famo {
        /// The rate of `ξ`. The paper's is 0.025.
        lr: f32,
        /// Its decay. The paper's is 0.001.
        decay: f32,
    },
}

impl LossBalancer {
    /// Its name in the literature.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fixed(_) => "fixed weights",
            Self::Dwa { .. } => "DWA",
            Self::Rlw => "RLW",
            Self::Gls => "GLS",
            Self::Stch { .. } => "STCH",
            Self::Famo { .. } => "FAMO",
        }
    }

    /// # Errors
    /// A setting out of its range.
    pub(crate) fn check(&self, tasks: usize) -> Result<()> {
        let wrong = |name, got: String, expected: String| {
            Err(Error::argument(self.name(), name, got, expected))
        };
        let positive = |x: f32| x.is_finite() && x > 0.0;
        match self {
            Self::Fixed(w) if !w.is_empty() && w.len() != tasks => {
                let expected = format!("{tasks} weights, or none for 1 each");
                wrong("weights", w.len().to_string(), expected)
            }
            Self::Fixed(w) if w.iter().any(|w| !w.is_finite() || *w < 0.0) => wrong(
                "weights",
                format!("{w:?}"),
                "numbers from 0: a negative weight makes its task worse".into(),
            ),
            Self::Fixed(w) if !w.is_empty() && w.iter().all(|w| *w == 0.0) => {
                wrong("weights", format!("{w:?}"), "one above 0 at least".into())
            }
            Self::Dwa { temperature } if !positive(*temperature) => {
                wrong("temperature", temperature.to_string(), "a number above 0, such as 2".into())
            }
            Self::Stch { mu, .. } if !positive(*mu) => {
                wrong("mu", mu.to_string(), "a number above 0, such as 0.5".into())
            }
            Self::Stch { warm_up: 0, .. } => wrong(
                "warm_up",
                "0".into(),
                "an epoch or more, of which losses are compared".into(),
            ),
            Self::Famo { lr, decay } if !(positive(*lr) && decay.is_finite() && *decay >= 0.0) => {
                wrong(
                    "lr and decay",
                    format!("{lr} and {decay}"),
                    "a rate above 0 and a decay from 0, such as 0.025 and 0.001".into(),
                )
            }
            _ => Ok(()),
        }
    }
}

/// The losses of the tasks that are there.
pub(super) struct There<'a> {
    /// Their numbers among all tasks.
    pub(super) tasks: Vec<usize>,
    pub(super) losses: Vec<&'a Tensor>,
    pub(super) values: Vec<f32>,
}

impl<'a> There<'a> {
    /// # Errors
    /// Not a loss for each of `tasks`, or none at all.
    pub(super) fn of(losses: &'a [Option<Tensor>], tasks: usize) -> Result<Self> {
        if losses.len() != tasks || losses.iter().all(Option::is_none) {
            let got = format!("{} of {} there", losses.iter().flatten().count(), losses.len());
            let expected = format!("{tasks} losses, one at least of a task with labels");
            return Err(Error::argument("losses", "losses", got, expected));
        }
        let mut there = Self { tasks: Vec::new(), losses: Vec::new(), values: Vec::new() };
        for (i, loss) in losses.iter().enumerate() {
            let Some(loss) = loss else { continue };
            there.tasks.push(i);
            there.values.push(loss.item().map_err(tl_nn::Error::from)?);
            there.losses.push(loss);
        }
        Ok(there)
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// `Σ w L`.
    pub(super) fn weighted(&self, weights: &[f32]) -> Result<Tensor> {
        let parts: Vec<Tensor> =
            self.losses.iter().zip(weights).map(|(l, w)| l.mul_scalar(*w)).collect();
        sum(&parts)
    }

    /// `ln(L + ε)` of the losses, with [`LEAST_LOSS`].
    ///
    /// # Errors
    /// A loss below 0, or NaN.
    pub(super) fn logarithms(&self) -> Result<Vec<Tensor>> {
        if let Some(bad) = self.values.iter().find(|v| v.is_nan() || **v < 0.0) {
            let expected = "losses from 0, as their logarithm is taken";
            return Err(Error::argument("losses", "loss", bad, expected));
        }
        Ok(self.losses.iter().map(|l| l.add_scalar(LEAST_LOSS).log()).collect())
    }
}

/// What is added to a loss before its logarithm is taken, as the authors of DB-MTL and
/// FAMO do: a batch that a task fits perfectly has a loss of 0.
pub(crate) const LEAST_LOSS: f32 = 1e-8;

pub(super) fn sum(parts: &[Tensor]) -> Result<Tensor> {
    let mut total = Tensor::scalar(0.0);
    for part in parts {
        total = total.add(part)?;
    }
    Ok(total)
}

fn softmax(x: &[f32]) -> Vec<f32> {
    let most = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let e: Vec<f32> = x.iter().map(|x| (x - most).exp()).collect();
    let sum: f32 = e.iter().sum();
    e.into_iter().map(|e| e / sum).collect()
}

/// A softmax whose weights have mean 1.
fn scaled_softmax(x: &[f32]) -> Vec<f32> {
    softmax(x).into_iter().map(|w| w * x.len() as f32).collect()
}
