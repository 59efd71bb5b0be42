//! Rules whose step is scaled by the norms of the whole parameter.

use super::rule::{Rule, StepInfo};
use serde::{Deserialize, Serialize};

fn norm(x: impl Iterator<Item = f32>) -> f32 {
    x.map(|x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt() as f32
}

/// LARS (You, Gitman and Ginsburg 2017, algorithm 1): momentum descent with the
/// rate of each parameter times `trust ‖p‖ / (‖g‖ + decay ‖p‖)`. Biases and
/// other vectors are usually left out: give their group `weight_decay` 0 and
/// set [`skip_vectors`](Self::skip_vectors).
///
/// Defaults: momentum 0.9, trust 0.001, no decay, vectors skipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lars {
    /// Learning rate.
    pub lr: f32,
    /// Part of the velocity that is kept.
    pub momentum: f32,
    /// The trust coefficient η.
    pub trust: f32,
    /// Added to the gradient times the parameter.
    pub weight_decay: f32,
    /// Parameters without decay take a plain step.
    pub skip_vectors: bool,
}

impl Lars {
    /// LARS with the defaults.
    pub fn new(lr: f32) -> Self {
        Self { lr, momentum: 0.9, trust: 0.001, weight_decay: 0.0, skip_vectors: true }
    }
}

impl Rule for Lars {
    fn name(&self) -> &'static str {
        "lars"
    }
    fn lr(&self) -> f32 {
        self.lr
    }
    fn weight_decay(&self) -> f32 {
        self.weight_decay
    }
    fn slots(&self) -> usize {
        1
    }
    fn needs_whole(&self) -> bool {
        true
    }
    fn update(&self, info: StepInfo, p: &mut [f32], g: &[f32], state: &mut [&mut [f32]]) {
        let [velocity] = state else { return };
        let (size, slope) = (norm(p.iter().copied()), norm(g.iter().copied()));
        let plain = self.skip_vectors && info.weight_decay == 0.0;
        let trust = if plain || size == 0.0 || slope == 0.0 {
            1.0
        } else {
            self.trust * size / (slope + info.weight_decay * size)
        };
        for ((p, &g), v) in p.iter_mut().zip(g).zip(velocity.iter_mut()) {
            *v = self.momentum * *v + info.lr * trust * (g + info.weight_decay * *p);
            *p -= *v;
        }
    }
    fn boxed(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }
}

/// LAMB (You et al. 2020, algorithm 2): the step of Adam plus decoupled weight
/// decay, its rate times `‖p‖ / ‖step‖`.
///
/// Defaults: β 0.9 and 0.999, eps 1e-6, decay 0.01.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lamb {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of squares.
    pub beta2: f32,
    /// Added to the root.
    pub eps: f32,
    /// Added to the step times the parameter.
    pub weight_decay: f32,
}

impl Lamb {
    /// LAMB with the defaults.
    pub fn new(lr: f32) -> Self {
        Self { lr, beta1: 0.9, beta2: 0.999, eps: 1e-6, weight_decay: 0.01 }
    }
}

impl Rule for Lamb {
    fn name(&self) -> &'static str {
        "lamb"
    }
    fn lr(&self) -> f32 {
        self.lr
    }
    fn weight_decay(&self) -> f32 {
        self.weight_decay
    }
    fn slots(&self) -> usize {
        2
    }
    fn needs_whole(&self) -> bool {
        true
    }
    fn update(&self, info: StepInfo, p: &mut [f32], g: &[f32], state: &mut [&mut [f32]]) {
        let [m, v] = state else { return };
        let t = info.step.min(i32::MAX as u64) as i32;
        let (first, second) = (1.0 - self.beta1.powi(t), 1.0 - self.beta2.powi(t));
        let mut step = vec![0.0; p.len()];
        for ((((s, &p), &g), m), v) in
            step.iter_mut().zip(&*p).zip(g).zip(m.iter_mut()).zip(v.iter_mut())
        {
            *m += (1.0 - self.beta1) * (g - *m);
            *v = self.beta2 * *v + (1.0 - self.beta2) * g * g;
            *s = (*m / first) / ((*v / second).sqrt() + self.eps) + info.weight_decay * p;
        }
        let (size, length) = (norm(p.iter().copied()), norm(step.iter().copied()));
        let trust = if size == 0.0 || length == 0.0 { 1.0 } else { size / length };
        for (p, s) in p.iter_mut().zip(&step) {
            *p -= info.lr * trust * s;
        }
    }
    fn boxed(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }
}
