//! RMSprop.

use super::rule::{Rule, StepInfo, vectorised};
use serde::{Deserialize, Serialize};

/// RMSprop (Tieleman and Hinton 2012), PyTorch's form: `v ← α v + (1 - α) g²`,
/// `p ← p - lr g / (√v + eps)`; centred, the variance (`v - mean²`) takes the
/// place of `v`; with momentum the steps are summed. Weight decay is added to
/// the gradient.
///
/// Defaults: α 0.99, eps 1e-8, no momentum, not centred, no decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RmsProp {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the mean of squares.
    pub alpha: f32,
    /// Added to the root.
    pub eps: f32,
    /// Part of the step before that is kept.
    pub momentum: f32,
    /// Divide by the standard deviation of the gradient.
    pub centered: bool,
    /// Added to the gradient times the parameter.
    pub weight_decay: f32,
}

impl RmsProp {
    /// RMSprop with the defaults.
    pub fn new(lr: f32) -> Self {
        Self { lr, alpha: 0.99, eps: 1e-8, momentum: 0.0, centered: false, weight_decay: 0.0 }
    }
}

impl Rule for RmsProp {
    fn name(&self) -> &'static str {
        "rmsprop"
    }
    fn lr(&self) -> f32 {
        self.lr
    }
    fn weight_decay(&self) -> f32 {
        self.weight_decay
    }
    fn slots(&self) -> usize {
        3
    }
    #[inline(always)]
    fn update(&self, info: StepInfo, p: &mut [f32], g: &[f32], state: &mut [&mut [f32]]) {
        let [v, mean, step] = state else { return };
        vectorised(
            #[inline(always)]
            || {
                for ((((p, &g), v), mean), step) in
                    p.iter_mut().zip(g).zip(v.iter_mut()).zip(mean.iter_mut()).zip(step.iter_mut())
                {
                    let g = g + info.weight_decay * *p;
                    *v = self.alpha * *v + (1.0 - self.alpha) * g * g;
                    let spread = if self.centered {
                        *mean += (1.0 - self.alpha) * (g - *mean);
                        *v - *mean * *mean
                    } else {
                        *v
                    };
                    *step = self.momentum * *step + g / (spread.max(0.0).sqrt() + self.eps);
                    *p -= info.lr * *step;
                }
            },
        );
    }
    fn boxed(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }
}
