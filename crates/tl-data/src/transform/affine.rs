//! Rotation, translation, scale and shear.

use super::{Planes, Transform, per_sample, size};
use crate::{Error, Result};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_tensor::Tensor;

/// A random rotation, shear, scale and translation of each image about its
/// centre, in one bilinear pass. What comes from outside is 0.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_data::{samples, transform::{RandomAffine, Transform}};
/// # fn main() -> tl_data::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let turn = RandomAffine::new().degrees(15.0).translate(0.1).scale(0.9, 1.1);
/// assert_eq!(turn.apply(samples::digits().features(), &mut rng)?.dims(), [1797, 1, 8, 8]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomAffine {
    degrees: f64,
    shear: f64,
    translate: f64,
    scale: [f64; 2],
}

impl Default for RandomAffine {
    fn default() -> Self {
        Self { degrees: 0.0, shear: 0.0, translate: 0.0, scale: [1.0, 1.0] }
    }
}

impl RandomAffine {
    /// None of them yet: changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rotates by at most this angle, either way.
    #[must_use]
    pub fn degrees(mut self, most: f64) -> Self {
        self.degrees = most;
        self
    }

    /// Shears rows by at most this angle in degrees, either way.
    #[must_use]
    pub fn shear(mut self, most: f64) -> Self {
        self.shear = most;
        self
    }

    /// Moves by at most this part of height and width, either way.
    #[must_use]
    pub fn translate(mut self, most: f64) -> Self {
        self.translate = most;
        self
    }

    /// Enlarges by a factor from `low` to `high`.
    #[must_use]
    pub fn scale(mut self, low: f64, high: f64) -> Self {
        self.scale = [low, high];
        self
    }
}

/// The pixel at `(y, x)`, between the four nearest ones.
fn sample(plane: &[f32], image: Planes, y: f64, x: f64) -> f32 {
    let (top, left) = (y.floor(), x.floor());
    let (dy, dx) = ((y - top) as f32, (x - left) as f32);
    let at = |y: f64, x: f64| {
        let inside = y >= 0.0 && x >= 0.0 && y < image.height as f64 && x < image.width as f64;
        if inside { plane[y as usize * image.width + x as usize] } else { 0.0 }
    };
    let above = at(top, left) * (1.0 - dx) + at(top, left + 1.0) * dx;
    let below = at(top + 1.0, left) * (1.0 - dx) + at(top + 1.0, left + 1.0) * dx;
    above * (1.0 - dy) + below * dy
}

impl Transform for RandomAffine {
    fn apply(&self, features: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        const OP: &str = "random affine";
        let image = Planes::of(OP, features)?;
        size(OP, "degrees", self.degrees)?;
        size(OP, "translate", self.translate)?;
        if !(0.0..90.0).contains(&self.shear) {
            return Err(Error::argument(OP, "shear", self.shear, "degrees from 0 to below 90"));
        }
        let [low, high] = self.scale;
        if !(low > 0.0 && low <= high && high.is_finite()) {
            return Err(Error::argument(OP, "scale", self.scale, "0 < low <= high"));
        }
        per_sample(features, &features.dims()[1..], rng, |from, to, rng| {
            let mut draw = |most: f64| most * (2.0 * rng.random::<f64>() - 1.0);
            let (angle, shear) = (draw(self.degrees).to_radians(), draw(self.shear).to_radians());
            let down = draw(self.translate) * image.height as f64;
            let right = draw(self.translate) * image.width as f64;
            let scale = low + (high - low) * rng.random::<f64>();
            // Where an output pixel comes from: the inverse of scale, shear and
            // rotation, about the centre.
            let (sin, cos, tan) = (angle.sin(), angle.cos(), shear.tan());
            let (cy, cx) = ((image.height - 1) as f64 / 2.0, (image.width - 1) as f64 / 2.0);
            let plane = image.height * image.width;
            for (to, from) in to.chunks_exact_mut(plane).zip(from.chunks_exact(plane)) {
                for (i, pixel) in to.iter_mut().enumerate() {
                    let y = ((i / image.width) as f64 - cy - down) / scale;
                    let x = ((i % image.width) as f64 - cx - right) / scale;
                    let (ry, rx) = (cos * y - sin * x, sin * y + cos * x);
                    *pixel = sample(from, image, ry + cy, rx - tan * ry + cx);
                }
            }
        })
    }
}
