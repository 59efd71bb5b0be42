//! Adam and AdamW.

use super::rule::{Rule, StepInfo, vectorised};
use serde::{Deserialize, Serialize};

/// Adam (Kingma and Ba 2015, algorithm 1): `m ← β₁ m + (1 - β₁) g`,
/// `v ← β₂ v + (1 - β₂) g²`, `p ← p - lr m̂ / (√v̂ + eps)`, with `m̂` and `v̂`
/// divided by `1 - βᵗ`. Weight decay is added to the gradient.
///
/// Defaults: β 0.9 and 0.999, eps 1e-8, no decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adam {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of squares.
    pub beta2: f32,
    /// Added to the root.
    pub eps: f32,
    /// Added to the gradient times the parameter.
    pub weight_decay: f32,
    /// Divide by the largest mean of squares so far (Reddi et al. 2018).
    pub amsgrad: bool,
}

impl Adam {
    /// Adam with the defaults.
    pub fn new(lr: f32) -> Self {
        Self { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, amsgrad: false }
    }
}

/// AdamW (Loshchilov and Hutter 2019, algorithm 2): [`Adam`] with decoupled
/// weight decay, `p ← p (1 - lr decay)` before the step.
///
/// Defaults: β 0.9 and 0.999, eps 1e-8, decay 0.01.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of squares.
    pub beta2: f32,
    /// Added to the root.
    pub eps: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Divide by the largest mean of squares so far (Reddi et al. 2018).
    pub amsgrad: bool,
}

impl AdamW {
    /// AdamW with the defaults.
    pub fn new(lr: f32) -> Self {
        Self { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01, amsgrad: false }
    }
}

/// Numbers of a step that are the same for all elements.
struct Moments {
    beta1: f32,
    beta2: f32,
    eps: f32,
    /// `lr / (1 - β₁ᵗ)`.
    size: f32,
    /// `1 / √(1 - β₂ᵗ)`.
    root: f32,
    /// Added to the gradient times the parameter.
    coupled: f32,
    /// The parameter is multiplied by this first.
    shrink: f32,
}

impl Moments {
    #[inline(always)]
    fn run(&self, p: &mut [f32], g: &[f32], state: &mut [&mut [f32]]) {
        match state {
            [m, v] => {
                for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m.iter_mut()).zip(v.iter_mut()) {
                    self.one(p, g, m, v, |v| v);
                }
            }
            [m, v, top] => {
                for ((((p, &g), m), v), top) in
                    p.iter_mut().zip(g).zip(m.iter_mut()).zip(v.iter_mut()).zip(top.iter_mut())
                {
                    self.one(p, g, m, v, |v| {
                        *top = top.max(v);
                        *top
                    });
                }
            }
            _ => {}
        }
    }

    #[inline(always)]
    fn one(&self, p: &mut f32, g: f32, m: &mut f32, v: &mut f32, pick: impl FnOnce(f32) -> f32) {
        let start = *p * self.shrink;
        let g = g + self.coupled * *p;
        *m += (1.0 - self.beta1) * (g - *m);
        *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
        *p = start - self.size * *m / (pick(*v).sqrt() * self.root + self.eps);
    }
}

macro_rules! rule {
    ($Type:ident, $name:literal, $coupled:expr, $shrink:expr) => {
        impl $Type {
            /// Sets the weight decay.
            #[must_use]
            pub fn weight_decay(mut self, decay: f32) -> Self {
                self.weight_decay = decay;
                self
            }

            /// Sets β₁ and β₂.
            #[must_use]
            pub fn betas(mut self, beta1: f32, beta2: f32) -> Self {
                (self.beta1, self.beta2) = (beta1, beta2);
                self
            }

            /// Sets what is added to the root.
            #[must_use]
            pub fn eps(mut self, eps: f32) -> Self {
                self.eps = eps;
                self
            }
        }

        impl Rule for $Type {
            fn name(&self) -> &'static str {
                $name
            }
            fn lr(&self) -> f32 {
                self.lr
            }
            fn weight_decay(&self) -> f32 {
                self.weight_decay
            }
            fn slots(&self) -> usize {
                2 + usize::from(self.amsgrad)
            }
            #[inline(always)]
            fn update(&self, info: StepInfo, p: &mut [f32], g: &[f32], state: &mut [&mut [f32]]) {
                let t = info.step.min(i32::MAX as u64) as i32;
                let moments = Moments {
                    beta1: self.beta1,
                    beta2: self.beta2,
                    eps: self.eps,
                    size: (f64::from(info.lr) / (1.0 - f64::from(self.beta1).powi(t))) as f32,
                    root: (1.0 / (1.0 - f64::from(self.beta2).powi(t)).sqrt()) as f32,
                    coupled: $coupled(info),
                    shrink: $shrink(info),
                };
                vectorised(
                    #[inline(always)]
                    || moments.run(p, g, state),
                );
            }
            fn boxed(&self) -> Box<dyn Rule> {
                Box::new(self.clone())
            }
        }
    };
}

rule!(Adam, "adam", |i: StepInfo| i.weight_decay, |_| 1.0);
rule!(AdamW, "adamw", |_| 0.0, |i: StepInfo| 1.0 - i.lr * i.weight_decay);
