//! Mirror images.

use super::{Planes, Transform, part, per_sample};
use crate::Result;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_tensor::Tensor;

/// Mirrors each image with a probability. Not for digits or text.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_data::{Tensor, transform::{RandomFlip, Transform}};
/// # fn main() -> tl_data::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let x = Tensor::from_slice(&[1.0, 2.0, 3.0], [1, 1, 1, 3])?;
/// let always = RandomFlip::horizontal().probability(1.0);
/// assert_eq!(always.apply(&x, &mut rng)?.to_vec(), [3.0, 2.0, 1.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomFlip {
    probability: f64,
    vertical: bool,
}

impl RandomFlip {
    /// Left and right change places, with probability 0.5.
    pub fn horizontal() -> Self {
        Self { probability: 0.5, vertical: false }
    }

    /// Top and bottom change places, with probability 0.5.
    pub fn vertical() -> Self {
        Self { probability: 0.5, vertical: true }
    }

    /// How likely it is.
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }
}

impl Transform for RandomFlip {
    fn apply(&self, features: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let image = Planes::of("random flip", features)?;
        part("random flip", "probability", self.probability)?;
        per_sample(features, &features.dims()[1..], rng, |from, to, rng| {
            to.copy_from_slice(from);
            if !rng.random_bool(self.probability) {
                return;
            }
            if self.vertical {
                let plane = image.height * image.width;
                for (to, from) in to.chunks_exact_mut(plane).zip(from.chunks_exact(plane)) {
                    let rows = from.chunks_exact(image.width).rev();
                    to.chunks_exact_mut(image.width)
                        .zip(rows)
                        .for_each(|(t, f)| t.copy_from_slice(f));
                }
            } else {
                to.chunks_exact_mut(image.width).for_each(<[f32]>::reverse);
            }
        })
    }
}
