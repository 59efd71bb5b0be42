//! Stochastic gradient descent.

use super::rule::{Rule, StepInfo, vectorised};
use serde::{Deserialize, Serialize};

/// Stochastic gradient descent with momentum, PyTorch's form:
/// `v ← μ v + (1 - dampening) g` (`v = g` at the first step), `p ← p - lr v`;
/// with Nesterov `p ← p - lr (g + μ v)`. Weight decay is added to the gradient.
/// Sutskever et al. 2013.
///
/// Defaults: no momentum, no dampening, no decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f32,
    /// Part of the velocity that is kept.
    pub momentum: f32,
    /// Part of the gradient that does not enter the velocity.
    pub dampening: f32,
    /// Nesterov's look-ahead.
    pub nesterov: bool,
    /// Added to the gradient times the parameter.
    pub weight_decay: f32,
}

impl Sgd {
    /// Plain gradient descent.
    pub fn new(lr: f32) -> Self {
        Self { lr, momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: 0.0 }
    }

    /// Sets the momentum.
    #[must_use]
    pub fn momentum(mut self, momentum: f32) -> Self {
        self.momentum = momentum;
        self
    }

    /// Sets Nesterov's look-ahead.
    #[must_use]
    pub fn nesterov(mut self, yes: bool) -> Self {
        self.nesterov = yes;
        self
    }

    /// Sets the weight decay.
    #[must_use]
    pub fn weight_decay(mut self, decay: f32) -> Self {
        self.weight_decay = decay;
        self
    }
}

impl Rule for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }
    fn lr(&self) -> f32 {
        self.lr
    }
    fn weight_decay(&self) -> f32 {
        self.weight_decay
    }
    fn slots(&self) -> usize {
        usize::from(self.momentum != 0.0)
    }
    #[inline(always)]
    fn update(&self, info: StepInfo, p: &mut [f32], g: &[f32], state: &mut [&mut [f32]]) {
        let (lr, decay) = (info.lr, info.weight_decay);
        let [velocity] = state else {
            vectorised(
                #[inline(always)]
                || p.iter_mut().zip(g).for_each(|(p, &g)| *p -= lr * (g + decay * *p)),
            );
            return;
        };
        let momentum = self.momentum;
        let (keep, enter) =
            if info.step == 1 { (0.0, 1.0) } else { (momentum, 1.0 - self.dampening) };
        let nesterov = self.nesterov;
        vectorised(
            #[inline(always)]
            || {
                for ((p, &g), v) in p.iter_mut().zip(g).zip(velocity.iter_mut()) {
                    let g = g + decay * *p;
                    *v = keep * *v + enter * g;
                    *p -= lr * if nesterov { g + momentum * *v } else { *v };
                }
            },
        );
    }
    fn boxed(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }
}
