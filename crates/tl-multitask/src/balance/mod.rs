//! How several losses, or their gradients, become one step.

mod gradient;
mod gram;
mod loss;
mod solve;

pub(crate) use gradient::step_seed;
pub use gradient::{GradientBalancer, GradientState, gradient_weights};
pub use gram::Gram;
pub use loss::{LossBalancer, LossState};
pub use solve::{lower_bounded_qp, min_norm, power_balance};
