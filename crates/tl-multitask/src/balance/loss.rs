//! Balancers of losses.

use crate::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_nn::Tensor;

/// A rule that makes one loss of several. All but GLS and STCH are a weighted
/// sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// times `T`, with `n_i` the mean loss of the first epochs.
    Stch {
        /// How smooth; the paper takes about 0.1 to 1.
        mu: f32,
        /// Epochs in which the losses are summed and `n_i` is found. Default 4 in
        /// the authors' code.
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
}

/// What a balancer of losses remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossState {
    /// Mean loss of every finished epoch: `[epochs][tasks]`.
    pub epochs: Vec<Vec<f32>>,
    /// Sum and count of this epoch.
    pub running: Vec<(f32, f32)>,
    /// FAMO's `ξ`.
    pub logits: Vec<f32>,
    /// The losses of the step before, NaN for a task that was missing.
    pub last: Vec<f32>,
}

impl LossState {
    /// For so many tasks.
    pub fn new(tasks: usize) -> Self {
        Self {
            epochs: Vec::new(),
            running: vec![(0.0, 0.0); tasks],
            logits: vec![0.0; tasks],
            last: vec![f32::NAN; tasks],
        }
    }

    /// Ends an epoch: its mean losses are kept. A task without a loss in it keeps
    /// its mean of before.
    pub fn end_epoch(&mut self) {
        let before = self.epochs.last().cloned();
        let means = self
            .running
            .iter_mut()
            .enumerate()
            .map(|(i, slot)| {
                let (sum, count) = std::mem::take(slot);
                let old = before.as_ref().map_or(f32::NAN, |b| b[i]);
                if count > 0.0 { sum / count } else { old }
            })
            .collect();
        self.epochs.push(means);
    }

    /// The single loss of the tasks that are there (`None`: no label in this
    /// batch), and the weights that it gave them. A task that is missing counts
    /// as if it did not exist: weights are those of the others, what is
    /// remembered of it stays.
    ///
    /// # Errors
    /// Not a loss for each task; none at all; a loss that is not above 0 where a
    /// logarithm is needed; settings out of range.
    pub fn combine(
        &mut self,
        balancer: &LossBalancer,
        losses: &[Option<Tensor>],
        seed: u64,
    ) -> Result<(Tensor, Vec<f32>)> {
        let tasks = self.running.len();
        if losses.len() != tasks || losses.iter().all(Option::is_none) {
            let got = format!("{} of {} there", losses.iter().flatten().count(), losses.len());
            let expected = format!("{tasks} losses, one at least of a task with labels");
            return Err(Error::argument("losses", "losses", got, expected));
        }
        let there: Vec<(usize, &Tensor)> =
            losses.iter().enumerate().filter_map(|(i, l)| l.as_ref().map(|l| (i, l))).collect();
        let mut values = Vec::with_capacity(there.len());
        for (i, loss) in &there {
            let value = loss.item().map_err(tl_nn::Error::from)?;
            self.running[*i].0 += value;
            self.running[*i].1 += 1.0;
            values.push(value);
        }
        let n = there.len();
        let weights: Vec<f32> = match balancer {
            LossBalancer::Fixed(w) if w.is_empty() => vec![1.0; n],
            LossBalancer::Fixed(w) if w.len() == tasks => {
                there.iter().map(|(i, _)| w[*i]).collect()
            }
            LossBalancer::Fixed(w) => {
                let expected = format!("{tasks} weights, or none for 1 each");
                return Err(Error::argument("fixed weights", "weights", w.len(), expected));
            }
            LossBalancer::Dwa { temperature } => self.dwa(&there, *temperature)?,
            LossBalancer::Rlw => {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let draws: Vec<f32> = (0..tasks).map(|_| normal(&mut rng)).collect();
                scaled_softmax(&there.iter().map(|(i, _)| draws[*i]).collect::<Vec<_>>())
            }
            LossBalancer::Gls => {
                return self.logarithms(&there, &values, |_, logs, n| {
                    let mean = sum(&logs)?.mul_scalar(1.0 / n as f32).exp();
                    let value = mean.item().map_err(tl_nn::Error::from)?;
                    let weights = values.iter().map(|v| value / (n as f32 * v)).collect();
                    Ok((mean, weights))
                });
            }
            LossBalancer::Stch { mu, warm_up } => {
                if !(mu.is_finite() && *mu > 0.0) {
                    return Err(Error::argument("STCH", "mu", mu, "a number above 0"));
                }
                if self.epochs.len() < *warm_up || self.epochs.is_empty() {
                    vec![1.0; n]
                } else {
                    let (mu, at) = (*mu, warm_up.max(&1) - 1);
                    let nadir = self.epochs[at].clone();
                    return self.logarithms(&there, &values, |_, logs, n| {
                        let shifted: Vec<Tensor> = logs
                            .iter()
                            .zip(&there)
                            .map(|(l, (i, _))| {
                                let base = nadir[*i];
                                let base = if base > 0.0 { base.ln() } else { 0.0 };
                                l.add_scalar(-base).mul_scalar(1.0 / mu)
                            })
                            .collect();
                        let stacked = Tensor::stack(&shifted.iter().collect::<Vec<_>>(), 0)
                            .map_err(tl_nn::Error::from)?;
                        let parts = stacked.softmax(0).map_err(tl_nn::Error::from)?.to_vec();
                        let total = stacked
                            .logsumexp(.., false)
                            .map_err(tl_nn::Error::from)?
                            .mul_scalar(mu * n as f32);
                        let weights =
                            parts.iter().zip(&values).map(|(p, v)| n as f32 * p / v).collect();
                        Ok((total, weights))
                    });
                }
            }
            LossBalancer::Famo { lr, decay } => {
                return self.famo(&there, &values, *lr, *decay);
            }
        };
        let weighted: Vec<Tensor> =
            there.iter().zip(&weights).map(|((_, l), w)| l.mul_scalar(*w)).collect();
        Ok((sum(&weighted)?, weights))
    }

    fn dwa(&self, there: &[(usize, &Tensor)], temperature: f32) -> Result<Vec<f32>> {
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(Error::argument("DWA", "temperature", temperature, "a number above 0"));
        }
        let [.., before, last] = &self.epochs[..] else { return Ok(vec![1.0; there.len()]) };
        let ratio = |i: usize| {
            let r = last[i] / before[i];
            if r.is_finite() { r / temperature } else { 1.0 / temperature }
        };
        Ok(scaled_softmax(&there.iter().map(|(i, _)| ratio(*i)).collect::<Vec<_>>()))
    }

    fn logarithms(
        &mut self,
        there: &[(usize, &Tensor)],
        values: &[f32],
        combine: impl FnOnce(&mut Self, Vec<Tensor>, usize) -> Result<(Tensor, Vec<f32>)>,
    ) -> Result<(Tensor, Vec<f32>)> {
        if let Some(bad) = values.iter().find(|v| v.is_nan() || **v <= 0.0) {
            let expected = "losses above 0, as their logarithm is taken";
            return Err(Error::argument("losses", "loss", bad, expected));
        }
        let logs: Vec<Tensor> = there.iter().map(|(_, l)| l.log()).collect();
        combine(self, logs, there.len())
    }

    fn famo(
        &mut self,
        there: &[(usize, &Tensor)],
        values: &[f32],
        lr: f32,
        decay: f32,
    ) -> Result<(Tensor, Vec<f32>)> {
        // How much the logarithms fell since the step before moves ξ.
        let fell: Vec<Option<f32>> = there
            .iter()
            .zip(values)
            .map(|((i, _), v)| {
                let last = self.last[*i];
                (last > 0.0 && *v > 0.0).then(|| last.ln() - v.ln())
            })
            .collect();
        let z = softmax(&there.iter().map(|(i, _)| self.logits[*i]).collect::<Vec<_>>());
        let mean: f32 = z.iter().zip(&fell).filter_map(|(z, f)| f.map(|f| z * f)).sum();
        for (((i, _), f), z) in there.iter().zip(&fell).zip(&z) {
            if let Some(f) = f {
                let slope = z * (f - mean);
                self.logits[*i] -= lr * (slope + decay * self.logits[*i]);
            }
        }
        for ((i, _), v) in there.iter().zip(values) {
            self.last[*i] = *v;
        }
        let z = softmax(&there.iter().map(|(i, _)| self.logits[*i]).collect::<Vec<_>>());
        self.logarithms(there, values, |_, logs, _| {
            let c = 1.0 / z.iter().zip(values).map(|(z, v)| z / v).sum::<f32>();
            let parts: Vec<Tensor> =
                logs.iter().zip(&z).map(|(l, z)| l.mul_scalar(c * z)).collect();
            let weights = z.iter().zip(values).map(|(z, v)| c * z / v).collect();
            Ok((sum(&parts)?, weights))
        })
    }
}

fn sum(parts: &[Tensor]) -> Result<Tensor> {
    let mut total = Tensor::scalar(0.0);
    for part in parts {
        total = total.add(part).map_err(tl_nn::Error::from)?;
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

/// A standard normal number (Box and Muller 1958).
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let (u, v): (f32, f32) = (1.0 - rng.random::<f32>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos()
}
