//! Balancers of gradients.

mod cagrad;
mod grad_drop;
mod pcgrad;
mod spectral;
mod upgrad;

pub(crate) use grad_drop::drop_conflicts;

use super::{Gram, finite, min_norm, power_balance};
use crate::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

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
    /// Sign dropout (Chen et al. 2020, algorithm 1): at each number of the
    /// gradient only the tasks of one sign are let through, positive with
    /// probability `½ (1 + Σ g / Σ |g|)`; then the sum. Here on the gradients of
    /// shared weights, as TorchJD and LibMTL do it; the paper takes those of a
    /// shared activation. Not a weighted sum: it holds every task's gradient.
    GradDrop {
        /// The part of every gradient that passes anyway. The paper's default
        /// is 0.
        leak: f64,
    },
    /// Dual balancing (Lin et al. 2023, algorithm 1): gradients of `ln L`, a
    /// moving average of each, every one brought to the norm of the longest. The
    /// rest of the model follows `Σ ln L` too. Losses have to be 0 or more;
    /// 1e-8 is added to each. Holds every task's gradient and its average.
    DbMtl {
        /// What the average of before weighs, in `[0, 1)`; 0 for none. The
        /// authors' code has 0.9.
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
            Self::GradDrop { .. } => "GradDrop",
            Self::DbMtl { .. } => "DB-MTL",
        }
    }

    /// Whether it needs single numbers of the gradients, not only their inner
    /// products.
    pub(crate) fn needs_elements(self) -> bool {
        matches!(self, Self::GradDrop { .. } | Self::DbMtl { .. })
    }

    /// # Errors
    /// A setting out of its range.
    pub(crate) fn check(self) -> Result<()> {
        let wrong =
            |name, got: f64, expected| Err(Error::argument(self.name(), name, got, expected));
        match self {
            Self::CaGrad { c } if !(c.is_finite() && c >= 0.0) => {
                wrong("c", c, "a number from 0, such as 0.4")
            }
            Self::FairGrad { a } if !(a.is_finite() && a > 0.0) => {
                wrong("a", a, "a number above 0")
            }
            Self::GradVac { beta } if !(0.0..=1.0).contains(&beta) => wrong("beta", beta, "0 to 1"),
            Self::GradDrop { leak } if !(0.0..=1.0).contains(&leak) => {
                wrong("leak", leak, "0 to 1")
            }
            Self::DbMtl { beta } if !(0.0..1.0).contains(&beta) => {
                wrong("beta", beta, "from 0 to below 1, such as 0.9")
            }
            _ => Ok(()),
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
/// Numbers that are not finite; settings out of range; a balancer that is no
/// weighted sum ([`GradDrop`](GradientBalancer::GradDrop)).
pub fn gradient_weights(
    balancer: GradientBalancer,
    gram: &Gram,
    present: &[usize],
    tasks: usize,
    state: &mut GradientState,
    seed: u64,
) -> Result<Vec<f64>> {
    let t = gram.tasks();
    balancer.check()?;
    finite(gram)?;
    if present.len() != t || present.iter().any(|&i| i >= tasks) {
        let got = format!("{present:?}");
        return Err(Error::argument("balance", "present", got, format!("{t} tasks below {tasks}")));
    }
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    match balancer {
        GradientBalancer::Sum => Ok(vec![1.0; t]),
        GradientBalancer::Mean => Ok(vec![1.0 / t as f64; t]),
        GradientBalancer::PcGrad => Ok(pcgrad::pcgrad(gram, rng)),
        GradientBalancer::GradVac { beta } => {
            Ok(pcgrad::gradvac(gram, present, tasks, state, beta, rng))
        }
        GradientBalancer::CaGrad { c } => Ok(cagrad::cagrad(gram, c)),
        GradientBalancer::Mgda => min_norm(gram),
        GradientBalancer::UpGrad => upgrad::upgrad(gram),
        GradientBalancer::ImtlG => spectral::imtl_g(gram),
        GradientBalancer::Aligned => spectral::aligned(gram),
        GradientBalancer::Nash => bargain(gram, 1.0),
        GradientBalancer::FairGrad { a } => bargain(gram, 1.0 / a),
        GradientBalancer::DbMtl { .. } => Ok(equal_norms(gram)),
        GradientBalancer::GradDrop { .. } => {
            let expected = "a balancer that weighs whole gradients; this one drops single \
                            numbers of them, as `MultiTask` and `TaskGradients::dropped` do";
            Err(Error::argument("balance", "balancer", balancer.name(), expected))
        }
    }
}

/// [`power_balance`] of the tasks that have a gradient; one at its minimum has
/// no say, and any weight does for it.
fn bargain(gram: &Gram, power: f64) -> Result<Vec<f64>> {
    let moving: Vec<usize> = (0..gram.tasks()).filter(|&i| gram.get(i, i) > 0.0).collect();
    let mut weights = vec![1.0; gram.tasks()];
    if !moving.is_empty() {
        let part = Gram::of(moving.len(), |i, j| gram.get(moving[i], moving[j]));
        for (&i, weight) in moving.iter().zip(power_balance(&part, power)?) {
            weights[i] = weight;
        }
    }
    Ok(weights)
}

/// Every gradient brought to the norm of the longest.
fn equal_norms(gram: &Gram) -> Vec<f64> {
    let norms: Vec<f64> = (0..gram.tasks()).map(|i| gram.norm(i)).collect();
    let longest = norms.iter().copied().fold(0.0, f64::max);
    norms.into_iter().map(|n| if n > 0.0 { longest / n } else { 1.0 }).collect()
}

/// A number for the order of this step.
pub(crate) fn step_seed(rng: &mut impl Rng) -> u64 {
    rng.random()
}
