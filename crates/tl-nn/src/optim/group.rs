//! Settings of some parameters.

use serde::{Deserialize, Serialize};

/// Settings of the parameters that a pattern names; what is not set stays as
/// it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub(super) lr: Option<f32>,
    pub(super) lr_factor: Option<f32>,
    pub(super) weight_decay: Option<f32>,
}

impl Group {
    /// Sets the base learning rate.
    #[must_use]
    pub fn lr(mut self, lr: f32) -> Self {
        self.lr = Some(lr);
        self
    }

    /// Multiplies the base learning rate of the rule.
    #[must_use]
    pub fn lr_factor(mut self, factor: f32) -> Self {
        self.lr_factor = Some(factor);
        self
    }

    /// Sets the weight decay.
    #[must_use]
    pub fn weight_decay(mut self, decay: f32) -> Self {
        self.weight_decay = Some(decay);
        self
    }
}
