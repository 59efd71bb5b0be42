//! Blur.

use super::{Planes, Transform, per_sample};
use crate::{Error, Result};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_tensor::Tensor;

/// Blurs each image with a Gaussian whose deviation in pixels is drawn evenly
/// from `low` to `high` (Chen et al. 2020 use 0.1 to 2). Pixels at the edge are
/// repeated beyond it.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_data::{Tensor, transform::{GaussianBlur, Transform}};
/// # fn main() -> tl_data::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let flat = Tensor::full([1, 1, 9, 9], 0.5);
/// let same = GaussianBlur::new(0.1, 2.0).apply(&flat, &mut rng)?;
/// assert!(same.to_vec().iter().all(|x| (x - 0.5).abs() < 1e-6));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianBlur {
    low: f64,
    high: f64,
}

impl GaussianBlur {
    /// Deviations from `low` to `high` pixels.
    pub fn new(low: f64, high: f64) -> Self {
        Self { low, high }
    }
}

/// The weights of a Gaussian, up to three deviations from its centre.
fn kernel(sigma: f64) -> Vec<f32> {
    let radius = (3.0 * sigma).ceil().max(1.0) as i64;
    let weights: Vec<f64> =
        (-radius..=radius).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| (w / sum) as f32).collect()
}

/// The weighted sum along a line of `length` numbers, `step` apart.
fn along(from: &[f32], to: &mut [f32], start: usize, step: usize, length: usize, kernel: &[f32]) {
    let radius = kernel.len() / 2;
    for i in 0..length {
        let near = |k: usize| (i + k).saturating_sub(radius).min(length - 1);
        let terms = kernel.iter().enumerate().map(|(k, w)| w * from[start + near(k) * step]);
        to[start + i * step] = terms.sum();
    }
}

impl Transform for GaussianBlur {
    fn apply(&self, features: &Tensor, rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let image = Planes::of("gaussian blur", features)?;
        let Self { low, high } = *self;
        if !(low > 0.0 && low <= high && high <= 1000.0) {
            let expected = "deviations 0 < low <= high <= 1000";
            return Err(Error::argument("gaussian blur", "low, high", [low, high], expected));
        }
        per_sample(features, &features.dims()[1..], rng, |from, to, rng| {
            let kernel = kernel(low + (high - low) * rng.random::<f64>());
            let mut rows = vec![0.0; image.numel()];
            for line in 0..image.channels * image.height {
                along(from, &mut rows, line * image.width, 1, image.width, &kernel);
            }
            for column in 0..image.channels * image.width {
                let start =
                    column / image.width * image.height * image.width + column % image.width;
                along(&rows, to, start, image.width, image.height, &kernel);
            }
        })
    }
}
