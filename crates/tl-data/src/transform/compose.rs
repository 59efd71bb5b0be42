//! Several transforms, one after the other.

use super::Transform;
use crate::Result;
use rand_chacha::ChaCha8Rng;
use std::fmt;
use tl_tensor::Tensor;

/// Several transforms, one after the other.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_data::{samples, transform::{Compose, GaussianNoise, RandomFlip, Transform}};
/// # fn main() -> tl_data::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let both = Compose::new().then(RandomFlip::horizontal()).then(GaussianNoise::new(0.1));
/// let x = samples::digits().features().narrow(0, 0, 4)?;
/// assert_eq!(both.apply(&x, &mut rng)?.dims(), [4, 1, 8, 8]);
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Compose(Vec<Box<dyn Transform>>);

impl Compose {
    /// None yet: changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one at the end.
    #[must_use]
    pub fn then(mut self, transform: impl Transform + 'static) -> Self {
        self.0.push(Box::new(transform));
        self
    }
}

impl Transform for Compose {
    fn apply(&self, features: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        self.0.iter().try_fold(features.clone(), |x, transform| transform.apply(&x, rng))
    }
}

impl fmt::Debug for Compose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Compose").field(&self.0.len()).finish()
    }
}
