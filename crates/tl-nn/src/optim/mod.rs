//! Optimisers: an update rule, and around it groups, clipping and a schedule.

mod adam;
mod average;
mod clip;
mod group;
mod layerwise;
mod lbfgs;
mod optimizer;
mod rmsprop;
mod rule;
mod sam;
mod sgd;
mod state;

pub use adam::{Adam, AdamW};
pub use average::{Ema, Lookahead, Swa};
pub use group::Group;
pub use layerwise::{Lamb, Lars};
pub use lbfgs::{Lbfgs, Minimized};
pub use optimizer::{Optimizer, StepReport};
pub use rmsprop::RmsProp;
pub use rule::{Rule, StepInfo};
pub use sam::{Climbed, Sam};
pub use sgd::Sgd;
pub use state::{OptimizerState, ParamState};
