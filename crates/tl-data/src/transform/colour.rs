//! Other light.

use super::{Planes, Transform, per_sample, size};
use crate::{Error, Result};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_tensor::Tensor;

/// Changes brightness, contrast and saturation of each image, in this order,
/// by factors drawn evenly from `max(0, 1 - s)..1 + s` for a strength `s`.
/// Pixels are 0 to 1 and stay so. Saturation takes images of three channels;
/// grey is the luma of ITU-R BT.601, as in torchvision.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_data::{Tensor, transform::{ColourJitter, Transform}};
/// # fn main() -> tl_data::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let jitter = ColourJitter::new().brightness(0.4).contrast(0.4).saturation(0.4);
/// let x = jitter.apply(&Tensor::full([2, 3, 4, 4], 0.5), &mut rng)?;
/// assert!(x.to_vec().iter().all(|p| (0.3..=0.7).contains(p)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColourJitter {
    brightness: f64,
    contrast: f64,
    saturation: f64,
}

impl ColourJitter {
    /// None of them yet: changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Multiplies all pixels.
    #[must_use]
    pub fn brightness(mut self, strength: f64) -> Self {
        self.brightness = strength;
        self
    }

    /// Moves all pixels towards or away from the mean grey.
    #[must_use]
    pub fn contrast(mut self, strength: f64) -> Self {
        self.contrast = strength;
        self
    }

    /// Moves each pixel towards or away from its own grey.
    #[must_use]
    pub fn saturation(mut self, strength: f64) -> Self {
        self.saturation = strength;
        self
    }
}

/// The grey of each pixel: the luma of three channels, else their mean.
fn grey(pixels: &[f32], image: Planes) -> Vec<f32> {
    let plane = image.height * image.width;
    let weights = match image.channels {
        3 => vec![0.299, 0.587, 0.114],
        n => vec![1.0 / n as f32; n],
    };
    let of = |i: usize| weights.iter().enumerate().map(|(c, w)| w * pixels[c * plane + i]).sum();
    (0..plane).map(of).collect()
}

impl Transform for ColourJitter {
    fn apply(&self, features: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        const OP: &str = "colour jitter";
        let image = Planes::of(OP, features)?;
        size(OP, "brightness", self.brightness)?;
        size(OP, "contrast", self.contrast)?;
        size(OP, "saturation", self.saturation)?;
        if self.saturation > 0.0 && image.channels != 3 {
            return Err(Error::shape(OP, features.dims(), "[n, 3, height, width] for saturation"));
        }
        per_sample(features, &features.dims()[1..], rng, |from, to, rng| {
            let mut factor = |s: f64| {
                let low = (1.0 - s).max(0.0);
                (low + (1.0 + s - low) * rng.random::<f64>()) as f32
            };
            let (light, contrast, saturation) =
                (factor(self.brightness), factor(self.contrast), factor(self.saturation));
            let plane = image.height * image.width;
            for (to, from) in to.iter_mut().zip(from) {
                *to = (from * light).clamp(0.0, 1.0);
            }
            if self.contrast > 0.0 {
                let mean = grey(to, image).iter().sum::<f32>() / plane as f32;
                to.iter_mut().for_each(|p| *p = (mean + contrast * (*p - mean)).clamp(0.0, 1.0));
            }
            if self.saturation > 0.0 {
                let grey = grey(to, image);
                for (i, p) in to.iter_mut().enumerate() {
                    let own = grey[i % plane];
                    *p = (own + saturation * (*p - own)).clamp(0.0, 1.0);
                }
            }
        })
    }
}
