//! The parts of variational autoencoders.

use rand::RngCore;
use tl_nn::{Activation, Linear, Result, Tensor, module};

/// One hidden layer with ReLU.
#[derive(Clone, Debug)]
pub(crate) struct TwoLayers {
    fc1: Linear,
    fc2: Linear,
}
module!(TwoLayers { fc1, fc2 });

impl TwoLayers {
    pub(crate) fn new(from: usize, hidden: usize, to: usize, rng: &mut dyn RngCore) -> Self {
        Self { fc1: Linear::new(from, hidden, rng), fc2: Linear::new(hidden, to, rng) }
    }

    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        self.fc2.forward_act(&self.fc1.forward_act(x, Activation::Relu)?, Activation::Identity)
    }
}

/// A normal distribution with independent numbers for each row.
#[derive(Clone, Debug)]
pub(crate) struct Normal {
    pub(crate) mean: Tensor,
    pub(crate) log_variance: Tensor,
}

impl Normal {
    /// Of `[n, 2 z]`: means, then logarithms of variances (held to -10..10, so
    /// that no exponential overflows).
    pub(crate) fn from_halves(both: &Tensor) -> Result<Self> {
        let z = both.size(-1)? / 2;
        Ok(Self {
            mean: both.narrow(-1, 0, z)?,
            log_variance: both.narrow(-1, z, z)?.clamp(-10.0, 10.0),
        })
    }

    /// A sample by the reparametrisation `μ + σ ε` (Kingma and Welling 2014).
    pub(crate) fn sample(&self, rng: &mut dyn RngCore) -> Result<Tensor> {
        let noise = Tensor::randn(*self.mean.shape(), rng);
        Ok(self.mean.add(&self.deviation().mul(&noise)?)?)
    }

    /// `σ`.
    pub(crate) fn deviation(&self) -> Tensor {
        self.log_variance.mul_scalar(0.5).exp()
    }

    /// `½ Σ (μ² + σ² - 1 - ln σ²)`, the divergence from the standard normal, a
    /// mean over rows.
    pub(crate) fn divergence(&self) -> Result<Tensor> {
        let parts = self.mean.square().add(&self.log_variance.exp())?;
        let parts = parts.sub(&self.log_variance)?.add_scalar(-1.0);
        Ok(parts.sum(-1, false)?.mean_all().mul_scalar(0.5))
    }

    /// `√(|μ₁ - μ₂|² + |σ₁ - σ₂|²)`, the 2-Wasserstein distance, a mean over rows.
    pub(crate) fn distance(&self, other: &Self) -> Result<Tensor> {
        let means = self.mean.sub(&other.mean)?.square().sum(-1, false)?;
        let spread = self.deviation().sub(&other.deviation())?.square().sum(-1, false)?;
        // A root has no slope at 0.
        Ok(means.add(&spread)?.add_scalar(1e-12).sqrt().mean_all())
    }
}

/// `Σ |x - y|`, a mean over rows.
pub(crate) fn l1(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    Ok(x.sub(y)?.abs().sum(-1, false)?.mean_all())
}

/// A weight that rises from 0 between two epochs and then stays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ramp {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) height: f64,
}

impl Ramp {
    pub(crate) fn at(self, epoch: f64) -> f32 {
        let part = (epoch - self.from) / (self.to - self.from).max(1e-9);
        (self.height * part.clamp(0.0, 1.0)) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(mean: [f32; 2], variance: [f32; 2]) -> Normal {
        let row = |x: [f32; 2]| Tensor::from_slice(&x, [1, 2]).unwrap();
        Normal { mean: row(mean), log_variance: row(variance.map(f32::ln)) }
    }

    #[test]
    fn divergence_and_distance_by_hand() {
        let standard = normal([0.0, 0.0], [1.0, 1.0]);
        assert!(standard.divergence().unwrap().item().unwrap().abs() < 1e-6);
        // ½ (1 + 4 - 1 - ln 4).
        let other = normal([1.0, 0.0], [4.0, 1.0]);
        let want = 0.5 * (4.0 - 4.0_f32.ln());
        assert!((other.divergence().unwrap().item().unwrap() - want).abs() < 1e-5);
        // Means differ by 1, deviations by 1.
        let distance = standard.distance(&other).unwrap().item().unwrap();
        assert!((distance - 2.0_f32.sqrt()).abs() < 1e-5);
    }

    #[test]
    fn ramps_begin_at_zero_and_stay_at_their_height() {
        let ramp = Ramp { from: 6.0, to: 22.0, height: 8.0 };
        assert_eq!([0.0, 6.0, 14.0, 22.0, 90.0].map(|e| ramp.at(e)), [0.0, 0.0, 4.0, 8.0, 8.0]);
    }
}
