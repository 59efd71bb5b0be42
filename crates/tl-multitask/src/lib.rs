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
//! | balancer | here | source |
//! |---|---|---|
//! | fixed, uncertainty | [`LossBalancer::Fixed`], [`Balance::Uncertainty`] | Kendall et al. 2018 |
//! | DWA, RLW, GLS | [`LossBalancer`] | Liu 2019, Lin 2022, Chennupati 2019 |
//! | STCH, FAMO | [`LossBalancer`] | Lin 2024, Liu 2023 |
//! | PCGrad, CAGrad, MGDA | [`GradientBalancer`] | Yu 2020, Liu 2021, Désidéri 2012 |
//! | UPGrad, IMTL-G, Aligned | [`GradientBalancer`] | Quinton 2024, Liu 2021, Senushkin 2023 |
//! | Nash, FairGrad, GradVac | [`GradientBalancer`] | Navon 2022, Ban 2024, Wang 2021 |
//!
//! | architecture | here | source |
//! |---|---|---|
//! | hard sharing | [`HardSharing`] | Caruana 1997 |
//! | MMoE | [`Mmoe`] | Ma et al. 2018 |
//! | CGC, PLE | [`Cgc`] | Tang et al. 2020 |
//! | cross-stitch | [`CrossStitch`] | Misra et al. 2016 |

mod balance;
mod error;
mod learner;
mod net;
mod report;
mod tools;

pub use balance::{
    GradientBalancer, GradientState, Gram, LossBalancer, LossState, gradient_weights,
    lower_bounded_qp, min_norm, power_balance,
};
pub use error::{Error, Result};
pub use learner::{Balance, Kind, MultiTask, Task, Trained, uncertainty};
pub use net::{Cgc, CrossStitch, HardSharing, Level, Mmoe};
pub use report::Report;
pub use tools::{delta_m, masked_mean, task_affinity, task_order};
