//! Balancers of gradients.

use super::{Gram, lower_bounded_qp, min_norm, power_balance};
use crate::{Error, Result};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_nn::shallow::eigh;

/// A rule that combines the gradients `g_i` of `T` tasks to `Σ w_i g_i` with
/// weights that the Gram matrix decides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GradientBalancer {
    /// The sum: every weight 1.
    Sum,
    /// The mean.
    Mean,
    /// Projecting conflicting gradients (Yu et al. 2020, algorithm 1): each
    /// gradient loses, for the others in random order, its part against the
    /// *original* other; then the sum.
    PcGrad,
    /// Conflict-averse (Liu et al. 2021, eq. 3): `g_0 + c |g_0| g_w / |g_w|` with
    /// the mean `g_0` and `w` on the simplex that minimises
    /// `g_w·g_0 + c |g_0| |g_w|`. No rescaling. The paper's `c` is 0.4 or 0.5;
    /// only from 1 on is no task harmed.
    CaGrad {
        /// How far from the mean.
        c: f64,
    },
    /// Multiple gradient descent (Désidéri 2012): the shortest vector in the
    /// convex hull, [`min_norm`].
    Mgda,
    /// UPGrad (Quinton and Rey 2024): the mean of the projections of all
    /// gradients onto the dual cone; regularised by 1e-4 of the trace.
    UpGrad,
    /// Impartial learning (Liu et al. 2021, section 3.2): equal projections onto
    /// all unit gradients, `w ∝ G⁺ √diag G`, with sum 1. Weights may be negative.
    ImtlG,
    /// Aligned (Senushkin et al. 2023, algorithm 1): `√λ_min V Λ^(-1/2) Vᵀ 1/T`,
    /// with the eigenvalues above 1e-10 of the largest.
    Aligned,
    /// Nash bargaining (Navon et al. 2022): `G α = 1/α`. Not clipped; the authors
    /// bring the result to a norm of at most 1.
    Nash,
    /// a-fairness (Ban and Ji 2024): `G α = α^(-1/a)`; 1 is [`Nash`](Self::Nash).
    FairGrad {
        /// The fairness.
        a: f64,
    },
    /// Gradient vaccine (Wang et al. 2021, eq. 5): as PCGrad, but a gradient is
    /// turned whenever its cosine with another is below the moving average of
    /// that pair's cosine.
    GradVac {
        /// What a new cosine weighs in the average. The paper has 0.01; its
        /// authors' code 0.5 for short runs.
        beta: f64,
    },
}

impl GradientBalancer {
    /// Its name in the literature.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::PcGrad => "PCGrad",
            Self::CaGrad { .. } => "CAGrad",
            Self::Mgda => "MGDA",
            Self::UpGrad => "UPGrad",
            Self::ImtlG => "IMTL-G",
            Self::Aligned => "Aligned-MTL",
            Self::Nash => "Nash-MTL",
            Self::FairGrad { .. } => "FairGrad",
            Self::GradVac { .. } => "GradVac",
        }
    }
}

/// What a balancer remembers from step to step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GradientState {
    /// Moving averages of the cosines of all pairs, row by row ([`GradVac`](GradientBalancer::GradVac)).
    pub cosines: Vec<f64>,
}

/// The weight of each task. `seed` decides random orders; `present` names the
/// tasks of the whole set that `gram` holds, in its order: what a balancer
/// remembers of the others stays.
///
/// # Errors
/// Numbers that are not finite; settings out of range.
pub fn gradient_weights(
    balancer: GradientBalancer,
    gram: &Gram,
    present: &[usize],
    tasks: usize,
    state: &mut GradientState,
    seed: u64,
) -> Result<Vec<f64>> {
    let t = gram.tasks();
    if present.len() != t || present.iter().any(|&i| i >= tasks) {
        let got = format!("{present:?}");
        return Err(Error::argument("balance", "present", got, format!("{t} tasks below {tasks}")));
    }
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    match balancer {
        GradientBalancer::Sum => Ok(vec![1.0; t]),
        GradientBalancer::Mean => Ok(vec![1.0 / t as f64; t]),
        GradientBalancer::PcGrad => Ok(projected(gram, rng, |i, j, v| {
            // ĝ_i · g_j < 0: take off its part along g_j.
            let inner = gram.times(v)[j];
            (i != j && inner < 0.0 && gram.get(j, j) > 0.0).then(|| -inner / gram.get(j, j))
        })),
        GradientBalancer::GradVac { beta } => vaccinated(gram, present, tasks, state, beta, rng),
        GradientBalancer::CaGrad { c } => conflict_averse(gram, c),
        GradientBalancer::Mgda => min_norm(gram),
        GradientBalancer::UpGrad => {
            let mut sum = vec![0.0; t];
            for i in 0..t {
                let lower: Vec<f64> =
                    (0..t).map(|j| if i == j { 1.0 / t as f64 } else { 0.0 }).collect();
                for (s, v) in sum.iter_mut().zip(lower_bounded_qp(gram, &lower, 1e-4)?) {
                    *s += v;
                }
            }
            Ok(sum)
        }
        GradientBalancer::ImtlG => impartial(gram),
        GradientBalancer::Aligned => aligned(gram),
        GradientBalancer::Nash => power_balance(gram, 1.0),
        GradientBalancer::FairGrad { a } if a.is_finite() && a > 0.0 => {
            power_balance(gram, 1.0 / a)
        }
        GradientBalancer::FairGrad { a } => {
            Err(Error::argument("FairGrad", "a", a, "a number above 0"))
        }
    }
}

/// Every task's vector, as coefficients, changed by what `turn` adds of others;
/// then the sum.
fn projected(
    gram: &Gram,
    rng: &mut ChaCha8Rng,
    mut turn: impl FnMut(usize, usize, &[f64]) -> Option<f64>,
) -> Vec<f64> {
    let t = gram.tasks();
    let mut sum = vec![0.0; t];
    for i in 0..t {
        let mut v = vec![0.0; t];
        v[i] = 1.0;
        let mut order: Vec<usize> = (0..t).filter(|&j| j != i).collect();
        order.shuffle(rng);
        for j in order {
            if let Some(by) = turn(i, j, &v) {
                v[j] += by;
            }
        }
        for (s, v) in sum.iter_mut().zip(v) {
            *s += v;
        }
    }
    sum
}

fn vaccinated(
    gram: &Gram,
    present: &[usize],
    tasks: usize,
    state: &mut GradientState,
    beta: f64,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<f64>> {
    if !(0.0..=1.0).contains(&beta) {
        return Err(Error::argument("GradVac", "beta", beta, "0 to 1"));
    }
    state.cosines.resize(tasks * tasks, 0.0);
    let goals = state.cosines.clone();
    let at = |i: usize, j: usize| present[i] * tasks + present[j];
    let cosines = &mut state.cosines;
    let sum = projected(gram, rng, |i, j, v| {
        let (norm_v, norm_j) = (gram.form(v, v).max(0.0).sqrt(), gram.norm(j));
        if norm_v <= 0.0 || norm_j <= 0.0 {
            return None;
        }
        let cosine = (gram.times(v)[j] / (norm_v * norm_j)).clamp(-1.0, 1.0);
        let goal = goals[at(i, j)];
        cosines[at(i, j)] = (1.0 - beta) * goal + beta * cosine;
        let (sine, goal_sine) =
            ((1.0 - cosine * cosine).max(0.0).sqrt(), (1.0 - goal * goal).max(0.0).sqrt());
        (cosine < goal && goal_sine > 1e-12)
            .then(|| norm_v * (goal * sine - cosine * goal_sine) / (norm_j * goal_sine))
    });
    Ok(sum)
}

/// CAGrad's weights, by Frank-Wolfe with pairwise steps on the simplex; the
/// function is convex, its line search is by golden section.
fn conflict_averse(gram: &Gram, c: f64) -> Result<Vec<f64>> {
    if !(c.is_finite() && c >= 0.0) {
        return Err(Error::argument("CAGrad", "c", c, "a number from 0"));
    }
    let _ = min_norm(gram)?;
    let t = gram.tasks();
    let mean = vec![1.0 / t as f64; t];
    let g0 = gram.times(&mean);
    let length = gram.form(&mean, &mean).max(0.0).sqrt();
    let value = |w: &[f64]| {
        let along: f64 = w.iter().zip(&g0).map(|(w, g)| w * g).sum();
        along + c * length * gram.form(w, w).max(0.0).sqrt()
    };
    let mut w = mean.clone();
    for _ in 0..5_000 {
        let norm = gram.form(&w, &w).max(0.0).sqrt().max(1e-300);
        let gw = gram.times(&w);
        let slope: Vec<f64> = (0..t).map(|i| g0[i] + c * length * gw[i] / norm).collect();
        let best = (0..t).min_by(|&a, &b| slope[a].total_cmp(&slope[b])).unwrap_or(0);
        let active = (0..t).filter(|&i| w[i] > 0.0);
        let worst = active.max_by(|&a, &b| slope[a].total_cmp(&slope[b])).unwrap_or(0);
        if slope[worst] - slope[best] < 1e-12 * (length * length).max(1e-300) {
            break;
        }
        // Weight goes from the worst to the best.
        let shifted = |by: f64| {
            let mut w = w.clone();
            w[worst] -= by;
            w[best] += by;
            w
        };
        let (mut low, mut high) = (0.0, w[worst]);
        let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
        for _ in 0..90 {
            let (a, b) = (high - ratio * (high - low), low + ratio * (high - low));
            if value(&shifted(a)) < value(&shifted(b)) { high = b } else { low = a }
        }
        // The end of the range is tried too: a weight may have to become 0.
        let inner = (low + high) / 2.0;
        let all = w[worst];
        let by = if value(&shifted(all)) <= value(&shifted(inner)) { all } else { inner };
        w = shifted(by);
        // What is left by rounding is no weight.
        w.iter_mut().filter(|w| **w < 1e-12).for_each(|w| *w = 0.0);
    }
    let norm = gram.form(&w, &w).max(0.0).sqrt();
    let factor = if norm > 0.0 { c * length / norm } else { 0.0 };
    Ok(mean.iter().zip(&w).map(|(m, w)| m + factor * w).collect())
}

/// Eigenvalues (ascending) and vectors as columns.
fn spectrum(gram: &Gram) -> Result<(Vec<f64>, Vec<Vec<f64>>)> {
    let t = gram.tasks();
    let (values, vectors) = eigh(&gram.tensor()?)?;
    let flat = vectors.to_vec();
    let columns = (0..t).map(|k| (0..t).map(|i| flat[i * t + k]).collect()).collect();
    Ok((values.to_vec(), columns))
}

fn impartial(gram: &Gram) -> Result<Vec<f64>> {
    let t = gram.tasks();
    let (values, vectors) = spectrum(gram)?;
    let largest = values.iter().copied().fold(0.0, f64::max);
    let norms: Vec<f64> = (0..t).map(|i| gram.norm(i)).collect();
    let mut w = vec![0.0; t];
    for (value, v) in values.iter().zip(&vectors).filter(|(x, _)| **x > 1e-10 * largest) {
        let along: f64 = v.iter().zip(&norms).map(|(a, b)| a * b).sum::<f64>() / value;
        w.iter_mut().zip(v).for_each(|(w, v)| *w += along * v);
    }
    let sum: f64 = w.iter().sum();
    if sum.abs() < 1e-12 * w.iter().map(|w| w.abs()).sum::<f64>().max(1e-300) {
        // No impartial combination with sum 1: gradients that oppose each other.
        return Ok(vec![0.0; t]);
    }
    Ok(w.into_iter().map(|w| w / sum).collect())
}

fn aligned(gram: &Gram) -> Result<Vec<f64>> {
    let t = gram.tasks();
    let (values, vectors) = spectrum(gram)?;
    let largest = values.iter().copied().fold(0.0, f64::max);
    let kept: Vec<usize> = (0..t).filter(|&k| values[k] > 1e-10 * largest).collect();
    let smallest = kept.iter().map(|&k| values[k]).fold(f64::INFINITY, f64::min);
    let mut w = vec![0.0; t];
    for k in kept {
        let along = vectors[k].iter().sum::<f64>() / t as f64 * (smallest / values[k]).sqrt();
        w.iter_mut().zip(&vectors[k]).for_each(|(w, v)| *w += along * v);
    }
    Ok(w)
}

/// A number for the order of this step.
pub(crate) fn step_seed(rng: &mut impl Rng) -> u64 {
    rng.random()
}
