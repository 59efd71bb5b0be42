//! Noise.

use super::{Transform, per_sample, size};
use crate::{Error, Result};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use tl_tensor::Tensor;

/// Adds normal noise to every feature, of images or not.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_data::{Tensor, transform::{GaussianNoise, Transform}};
/// # fn main() -> tl_data::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let x = GaussianNoise::new(0.5).apply(&Tensor::zeros([100, 50]), &mut rng)?;
/// assert!((x.std([0, 1], true, false)?.item()? - 0.5).abs() < 0.02);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianNoise {
    std: f64,
}

impl GaussianNoise {
    /// Noise of this standard deviation.
    pub fn new(std: f64) -> Self {
        Self { std }
    }
}

impl Transform for GaussianNoise {
    fn apply(&self, features: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        size("gaussian noise", "std", self.std)?;
        if features.rank() == 0 {
            return Err(Error::shape("gaussian noise", &[], "[n, ...]"));
        }
        let std = self.std as f32;
        per_sample(features, &features.dims()[1..], rng, |from, to, rng| {
            for (to, from) in to.iter_mut().zip(from) {
                let noise: f32 = StandardNormal.sample(rng);
                *to = from + std * noise;
            }
        })
    }
}
