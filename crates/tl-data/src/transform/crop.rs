//! A random part of an image.

use super::{Planes, Transform, per_sample};
use crate::{Error, Result};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_tensor::Tensor;

/// A random part of `height` x `width` pixels of an image that is first padded
/// with zeros on all sides. With a padding of 4 and the image's own size this
/// is the usual shift of small images.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_data::{samples, transform::{RandomCrop, Transform}};
/// # fn main() -> tl_data::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let x = RandomCrop::new(8, 8).padding(1).apply(samples::digits().features(), &mut rng)?;
/// assert_eq!(x.dims(), [1797, 1, 8, 8]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomCrop {
    height: usize,
    width: usize,
    #[serde(default)]
    padding: usize,
}

impl RandomCrop {
    /// Parts of this size, without padding.
    pub fn new(height: usize, width: usize) -> Self {
        Self { height, width, padding: 0 }
    }

    /// Zeros on each side.
    #[must_use]
    pub fn padding(mut self, pixels: usize) -> Self {
        self.padding = pixels;
        self
    }
}

impl Transform for RandomCrop {
    fn apply(&self, features: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let image = Planes::of("random crop", features)?;
        let Self { height, width, padding } = *self;
        let padded = |side: usize| padding.checked_mul(2).and_then(|p| p.checked_add(side));
        let (Some(rows), Some(columns)) = (padded(image.height), padded(image.width)) else {
            return Err(Error::argument("random crop", "padding", padding, "fewer pixels"));
        };
        if height == 0 || width == 0 || height > rows || width > columns {
            let expected = format!("1x1 to {rows}x{columns}, the padded image");
            return Err(Error::argument("random crop", "size", [height, width], expected));
        }
        per_sample(features, &[image.channels, height, width], rng, |from, to, rng| {
            let top = rng.random_range(0..=rows - height);
            let left = rng.random_range(0..=columns - width);
            for (line, out) in to.chunks_exact_mut(width).enumerate() {
                let (channel, y) = (line / height, line % height + top);
                if y < padding || y >= padding + image.height {
                    continue;
                }
                let start = (channel * image.height + y - padding) * image.width;
                let row = &from[start..start + image.width];
                for (x, out) in out.iter_mut().enumerate() {
                    if let Some(at) = (x + left).checked_sub(padding)
                        && let Some(&pixel) = row.get(at)
                    {
                        *out = pixel;
                    }
                }
            }
        })
    }
}
