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

/// A plane with zeros around it, so that no pixel asks whether it is outside.
struct Padded {
    pixels: Vec<f32>,
    height: usize,
    width: usize,
}

impl Padded {
    /// Pixels before the first row and column; one more than that follows the
    /// last.
    const BEFORE: usize = 1;

    fn new(image: Planes) -> Self {
        let (height, width) = (image.height + 3, image.width + 3);
        Self { pixels: vec![0.0; height * width], height, width }
    }

    /// Takes another plane of the same size.
    fn load(&mut self, plane: &[f32], image: Planes) {
        let rows = self.pixels.chunks_exact_mut(self.width).skip(Self::BEFORE);
        for (row, from) in rows.zip(plane.chunks_exact(image.width)) {
            row[Self::BEFORE..Self::BEFORE + image.width].copy_from_slice(from);
        }
    }

    /// The pixel at `(y, x)` of the plane, between the four nearest ones.
    #[inline]
    fn at(&self, y: f32, x: f32) -> f32 {
        let before = Self::BEFORE as f32;
        let y = (y + before).clamp(0.0, (self.height - 2) as f32);
        let x = (x + before).clamp(0.0, (self.width - 2) as f32);
        // Not negative, so cutting is rounding down.
        let (top, left) = (y as usize, x as usize);
        let (dy, dx) = (y - top as f32, x - left as f32);
        let start = top * self.width + left;
        let (above, below) = (&self.pixels[start..][..2], &self.pixels[start + self.width..][..2]);
        let upper = above[0] + (above[1] - above[0]) * dx;
        let lower = below[0] + (below[1] - below[0]) * dx;
        upper + (lower - upper) * dy
    }
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
            // Both coordinates are linear in those of the output.
            let source = |i: f64, j: f64| {
                let (y, x) = ((i - cy - down) / scale, (j - cx - right) / scale);
                let (ry, rx) = (cos * y - sin * x, sin * y + cos * x);
                ((ry + cy) as f32, (rx - tan * ry + cx) as f32)
            };
            let (origin, next) = (source(0.0, 0.0), source(0.0, 1.0));
            let step = (next.0 - origin.0, next.1 - origin.1);
            let mut padded = Padded::new(image);
            let plane = image.height * image.width;
            for (to, from) in to.chunks_exact_mut(plane).zip(from.chunks_exact(plane)) {
                padded.load(from, image);
                for (i, row) in to.chunks_exact_mut(image.width).enumerate() {
                    let (y, x) = source(i as f64, 0.0);
                    for (j, pixel) in row.iter_mut().enumerate() {
                        let j = j as f32;
                        *pixel = padded.at(y + j * step.0, x + j * step.1);
                    }
                }
            }
        })
    }
}
