//! Another size.

use super::{Planes, Transform};
use crate::Result;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_tensor::Tensor;

/// Images of another size, bilinear between the nearest pixels (PyTorch's
/// `interpolate` without `align_corners`; shrinking by much skips pixels).
///
/// ```
/// # use rand::SeedableRng;
/// use tl_data::{samples, transform::{Resize, Transform}};
/// # fn main() -> tl_data::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let x = Resize::new(16, 12).apply(samples::digits().features(), &mut rng)?;
/// assert_eq!(x.dims(), [1797, 1, 16, 12]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    height: usize,
    width: usize,
}

impl Resize {
    /// To `height` x `width` pixels.
    pub fn new(height: usize, width: usize) -> Self {
        Self { height, width }
    }
}

impl Transform for Resize {
    fn apply(&self, features: &Tensor, _: &mut ChaCha8Rng) -> Result<Tensor> {
        Planes::of("resize", features)?;
        Ok(features.detach().resize_bilinear([self.height, self.width], false)?)
    }
}
