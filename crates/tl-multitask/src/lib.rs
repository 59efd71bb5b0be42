//! Multi-task learning: one model for several related tasks.
//!
//! Use it where tasks share inputs or structure and some have few labels, or
//! where one model has to ship instead of several. It often does *not* beat a
//! model of its own for each task; the report always has those beside it.
//! Begin with [`HardSharing`] and fixed weights; random weights
//! ([`LossBalancer::Rlw`]) are the baseline that a balancer has to beat.
//!
//! ```
//! use tl_multitask::{Gram, GradientBalancer, GradientState, gradient_weights};
//! # fn main() -> tl_multitask::Result<()> {
//! // Two gradients in conflict: the first task would undo the second.
//! let gram = Gram::from_rows(&[vec![-4.0, 1.0, 1.0], vec![6.0, 1.0, 1.0]])?;
//! assert!(gram.cosine(0, 1) < 0.0);
//! let mut state = GradientState::default();
//! let weights =
//!     gradient_weights(GradientBalancer::UpGrad, &gram, &[0, 1], 2, &mut state, 0)?;
//! // Now the step helps both.
//! assert!(gram.times(&weights).iter().all(|along| *along > 0.0));
//! # Ok(())
//! # }
//! ```
//!
//! [`MultiTask`] trains any model with any balancer, tasks with missing labels
//! included.
//!
//! | method | here | source |
//! |---|---|---|
//! | fixed weights | [`LossBalancer::Fixed`] | – |
//! | uncertainty | [`Balance::Uncertainty`], [`uncertainty`] | Kendall et al. 2018 |
//! | GradNorm | [`Balance::GradNorm`], [`GradNorm`] | Chen et al. 2018 |
//! | IMTL-L, IMTL-G | [`Balance::ImtlL`], [`GradientBalancer::ImtlG`] | Liu et al. 2021 |
//! | DWA, RLW, GLS | [`LossBalancer`] | Liu 2019, Lin 2022, Chennupati 2019 |
//! | STCH, FAMO | [`LossBalancer`] | Lin 2024, Liu 2023 |
//! | PCGrad, CAGrad, MGDA | [`GradientBalancer`] | Yu 2020, Liu 2021, Désidéri 2012 |
//! | UPGrad, Aligned-MTL | [`GradientBalancer`] | Quinton 2024, Senushkin 2023 |
//! | Nash-MTL, FairGrad, GradVac | [`GradientBalancer`] | Navon 2022, Ban 2024, Wang 2021 |
//! | GradDrop, DB-MTL | [`GradientBalancer`] | Chen 2020, Lin 2023 |
//!
//! | architecture | here | source |
//! |---|---|---|
//! | hard sharing | [`HardSharing`] | Caruana 1997 |
//! | MMoE | [`Mmoe`] | Ma et al. 2018 |
//! | CGC, PLE | [`Cgc`] | Tang et al. 2020 |
//! | cross-stitch | [`CrossStitch`] | Misra et al. 2016 |
//! | attention | [`Mtan`] | Liu et al. 2019 |
//! | low-rank adapters for each task | [`TaskAdapters`] | Hu et al. 2022 |
//!
//! | around them | here | source |
//! |---|---|---|
//! | labels, some missing | [`Labels`], [`masked_mean`] | – |
//! | tasks with data sets of their own | [`TaskMix`], [`Sampling`] | Raffel 2020, Stickland 2019 |
//! | Gram matrices without gradients | [`TaskGradients`], [`LinearSize`] | – |
//! | conflicts, layer by layer | [`Conflicts`] | Yu et al. 2020 |
//! | task affinity and groups | [`task_affinity`], [`suggest_groups`] | Fifty et al. 2021 |
//! | beside single-task models | [`compare`], [`Report`], [`delta_m`] | Maninis et al. 2019 |

mod affinity;
mod balance;
mod conflict;
mod engine;
mod error;
mod labels;
mod net;
mod report;
mod sampling;
mod task;
mod train;

pub use affinity::{Affinity, Grouping, suggest_groups, task_affinity};
pub use balance::{
    Balance, GradNorm, GradientBalancer, GradientState, Gram, LossBalancer, LossState, Moments,
    gradient_weights, imtl_l, lower_bounded_qp, min_norm, power_balance, uncertainty,
};
pub use conflict::{Conflicts, EpochConflicts, Pairs};
pub use engine::{LinearSize, TaskGradients};
pub use error::{Error, Result};
pub use labels::{Labels, masked_mean};
pub use net::{Attend, Cgc, CrossStitch, HardSharing, Level, LowRank, Mmoe, Mtan, TaskAdapters};
pub use report::{Report, SINGLE, compare, delta_m};
pub use sampling::{Sampling, TaskMix, task_order};
pub use task::{Kind, Task};
pub use train::{MultiTask, Trained};
