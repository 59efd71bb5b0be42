//! What several losses or gradients are combined by.

mod grad_norm;
mod gradient;
mod gram;
mod loss;
mod method;
mod moments;
mod solve;

pub use grad_norm::GradNorm;
pub use gradient::{GradientBalancer, GradientState, gradient_weights};
pub(crate) use gradient::{drop_conflicts, step_seed};
pub use gram::Gram;
pub(crate) use loss::{LEAST_LOSS, Learned};
pub use loss::{LossBalancer, LossState, imtl_l, uncertainty};
pub use method::Balance;
pub use moments::Moments;
use solve::finite;
pub use solve::{lower_bounded_qp, min_norm, power_balance};
