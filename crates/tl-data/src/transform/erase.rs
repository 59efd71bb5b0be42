//! Missing parts.

use super::{Planes, Transform, part, per_sample};
use crate::{Error, Result};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_tensor::Tensor;

/// Sets a random rectangle of each image to 0, with a probability (Zhong et
/// al. 2020). Area and proportions are drawn as there; a rectangle that does
/// not fit is drawn again, ten times at most.
///
/// Defaults: probability 0.5, area 0.02 to 0.33 of the image, proportions 0.3
/// to 3.3.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_data::{Tensor, transform::{RandomErase, Transform}};
/// # fn main() -> tl_data::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let x = RandomErase::new().probability(1.0).apply(&Tensor::ones([1, 1, 20, 20]), &mut rng)?;
/// let left = x.mean_all().item()?;
/// assert!((0.6..1.0).contains(&left));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomErase {
    probability: f64,
    area: [f64; 2],
}

impl Default for RandomErase {
    fn default() -> Self {
        Self { probability: 0.5, area: [0.02, 0.33] }
    }
}

impl RandomErase {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How likely it is.
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// The part of the image, from `low` to `high`.
    #[must_use]
    pub fn area(mut self, low: f64, high: f64) -> Self {
        self.area = [low, high];
        self
    }
}

impl Transform for RandomErase {
    fn apply(&self, features: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        const OP: &str = "random erase";
        let image = Planes::of(OP, features)?;
        part(OP, "probability", self.probability)?;
        let [low, high] = self.area;
        if !(low > 0.0 && low <= high && high <= 1.0) {
            return Err(Error::argument(OP, "area", self.area, "0 < low <= high <= 1"));
        }
        per_sample(features, &features.dims()[1..], rng, |from, to, rng| {
            to.copy_from_slice(from);
            if !rng.random_bool(self.probability) {
                return;
            }
            let all = (image.height * image.width) as f64;
            for _ in 0..10 {
                let area = all * (low + (high - low) * rng.random::<f64>());
                let (least, most) = (0.3_f64.ln(), 3.3_f64.ln());
                let proportions = (least + (most - least) * rng.random::<f64>()).exp();
                let height = (area * proportions).sqrt().round() as usize;
                let width = (area / proportions).sqrt().round() as usize;
                if height == 0 || width == 0 || height > image.height || width > image.width {
                    continue;
                }
                let top = rng.random_range(0..=image.height - height);
                let left = rng.random_range(0..=image.width - width);
                for channel in 0..image.channels {
                    for y in top..top + height {
                        let start = (channel * image.height + y) * image.width + left;
                        to[start..start + width].fill(0.0);
                    }
                }
                return;
            }
        })
    }
}
