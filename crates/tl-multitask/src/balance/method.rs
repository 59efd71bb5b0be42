//! The one thing that changes with the method.

use super::{GradientBalancer, LossBalancer};
use crate::{Error, Result, Task};
use serde::{Deserialize, Serialize};

/// How several tasks share one step. Changing the method is changing this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Balance {
    /// By their losses: one backward pass.
    Losses(LossBalancer),
    /// By learned uncertainty (Kendall et al. 2018), in the form that fits each
    /// task's [`Kind`](crate::Kind): [`uncertainty`](crate::uncertainty).
    Uncertainty,
    /// By learned scales that bring all losses to 1 (Liu et al. 2021):
    /// [`imtl_l`](crate::imtl_l).
    ImtlL,
    /// By losses whose weights even out the norms of their gradients on the last
    /// shared weight, as in the paper (Chen et al. 2018):
    /// [`GradNorm`](crate::GradNorm).
    GradNorm {
        /// How strongly slow tasks are helped. The paper has 0.12 to 1.5.
        alpha: f64,
        /// The rate of the weights. The paper has that of the network; 0.025 is
        /// usual.
        lr: f64,
    },
    /// By their gradients on shared weights: a backward pass for each task.
    Gradients(GradientBalancer),
}

impl Balance {
    /// The plain sum of the losses: where to begin.
    pub fn equal() -> Self {
        Self::Losses(LossBalancer::Fixed(Vec::new()))
    }

    /// Its name in the literature.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Losses(l) => l.name(),
            Self::Uncertainty => "uncertainty",
            Self::ImtlL => "IMTL-L",
            Self::GradNorm { .. } => "GradNorm",
            Self::Gradients(g) => g.name(),
        }
    }

    /// Every method with the settings of its paper or its authors' code, for a
    /// comparison of all.
    pub fn all() -> Vec<Self> {
        use GradientBalancer as G;
        use LossBalancer as L;
        let losses = [
            L::Fixed(Vec::new()),
            L::Rlw,
            L::Dwa { temperature: 2.0 },
            L::Gls,
            L::Stch { mu: 0.5, warm_up: 2 },
            L::Famo { lr: 0.025, decay: 0.001 },
        ];
        let gradients = [
            G::Sum,
            G::Mean,
            G::PcGrad,
            G::CaGrad { c: 0.4 },
            G::Mgda,
            G::UpGrad,
            G::ImtlG,
            G::Aligned,
            G::Nash,
            G::FairGrad { a: 2.0 },
            G::GradVac { beta: 0.01 },
            G::GradDrop { leak: 0.0 },
            G::DbMtl { beta: 0.9 },
        ];
        let learned = [Self::Uncertainty, Self::ImtlL, Self::GradNorm { alpha: 1.5, lr: 0.025 }];
        losses
            .map(Self::Losses)
            .into_iter()
            .chain(learned)
            .chain(gradients.map(Self::Gradients))
            .collect()
    }

    /// Whether a step needs every task's gradient.
    pub(crate) fn needs_gradients(&self) -> bool {
        matches!(self, Self::GradNorm { .. } | Self::Gradients(_))
    }

    /// Refuses what makes no sense for these tasks. `alone`: every step is on
    /// one task's batch.
    ///
    /// # Errors
    /// What is refused, and why.
    pub fn check(&self, tasks: &[Task], alone: bool) -> Result<()> {
        let t = tasks.len();
        if t < 2 {
            let expected = "two tasks or more: one needs no balance, only `Trainer::fit`";
            return Err(Error::argument("multi-task", "tasks", t, expected));
        }
        for (i, task) in tasks.iter().enumerate() {
            if tasks[..i].iter().any(|other| other.name == task.name) {
                let expected = "a name for each task that no other has";
                return Err(Error::argument("multi-task", "task", &task.name, expected));
            }
        }
        match self {
            Self::Losses(balancer) => balancer.check(t)?,
            Self::Gradients(balancer) => balancer.check()?,
            Self::GradNorm { alpha, lr } => {
                if !(alpha.is_finite() && *alpha >= 0.0 && lr.is_finite() && *lr > 0.0) {
                    let expected = "an alpha from 0 and a rate above 0, such as 1.5 and 0.025";
                    let got = format!("{alpha} and {lr}");
                    return Err(Error::argument("GradNorm", "alpha and lr", got, expected));
                }
            }
            Self::Uncertainty | Self::ImtlL => {}
        }
        if alone { self.check_alone() } else { Ok(()) }
    }

    /// Steps on one task's batch leave nothing to weigh against each other.
    fn check_alone(&self) -> Result<()> {
        let refuse = |expected: &str| {
            Err(Error::argument("sampling of tasks", "balance", self.name(), expected))
        };
        match self {
            Self::Losses(LossBalancer::Fixed(w)) if !w.is_empty() => {
                refuse("weights of 1: a task is drawn more often or weighs more, not both")
            }
            Self::Losses(LossBalancer::Dwa { .. } | LossBalancer::Fixed(_))
            | Self::Uncertainty
            | Self::ImtlL => Ok(()),
            _ => refuse(
                "fixed weights, DWA, uncertainty or IMTL-L: with one task a step there are no \
                 two losses or gradients to compare (`Sampling::Together` has all in one step)",
            ),
        }
    }
}
