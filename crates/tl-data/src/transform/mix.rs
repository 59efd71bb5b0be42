//! Mixtures of samples and of their targets.

use super::Planes;
use crate::{Batch, Error, Result, Targets, dataset::elements};
use rand::{Rng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Beta, Distribution};
use serde::{Deserialize, Serialize};
use tl_tensor::Tensor;

/// Mixes each sample with another of the batch (Zhang et al. 2018, eq. 1):
/// `λ x_i + (1 - λ) x_j`, and the targets likewise, with one `λ` from
/// `Beta(alpha, alpha)` a batch. Classes become probabilities, for
/// a loss of soft targets.
///
/// ```
/// use tl_data::{Batching, samples, transform::Mixup};
/// # fn main() -> tl_data::Result<()> {
/// let mixup = Mixup::new(0.2)?;
/// let loader = samples::digits()
///     .batches(Batching::new(32).shuffled(0))?
///     .map(move |batch, rng| mixup.apply(batch, rng));
/// let batch = loader.epoch(0).next().unwrap()?;
/// assert_eq!(batch.soft_targets()?.dims(), [32, 10]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixup {
    alpha: f64,
}

/// Puts a rectangle of another image of the batch into each (Yun et al. 2019):
/// its area is `1 - λ` of the image before it is cut off at the edge, with one
/// `λ` from `Beta(alpha, alpha)` and one place a batch; targets are mixed by
/// the area that is left. The paper's `alpha` is 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CutMix {
    alpha: f64,
}

fn beta(op: &'static str, alpha: f64) -> Result<Beta<f64>> {
    let wrong = || Error::argument(op, "alpha", alpha, "a finite number above 0");
    if !(alpha > 0.0 && alpha.is_finite()) {
        return Err(wrong());
    }
    Beta::new(alpha, alpha).map_err(|_| wrong())
}

/// A random order of the samples.
fn partners(n: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(rng);
    order
}

/// `λ t_i + (1 - λ) t_j`.
fn mix_rows(rows: &Tensor, partners: &[usize], lambda: f32) -> Tensor {
    let data = elements(rows);
    let size = data.len() / partners.len().max(1);
    let mut out = rows.detach();
    out.update_in_place(|out| {
        for (i, &j) in partners.iter().enumerate() {
            for k in 0..size {
                out[i * size + k] =
                    lambda * data[i * size + k] + (1.0 - lambda) * data[j * size + k];
            }
        }
    });
    out
}

/// Targets as numbers: probabilities for classes.
fn soft(batch: &Batch) -> Result<Tensor> {
    match &batch.targets {
        Targets::Values(values) => Ok(values.clone()),
        _ => batch.soft_targets(),
    }
}

impl Mixup {
    /// With this `alpha`; the paper uses 0.1 to 0.4.
    ///
    /// # Errors
    /// `alpha` is not above 0.
    pub fn new(alpha: f64) -> Result<Self> {
        beta("mixup", alpha).map(|_| Self { alpha })
    }

    /// The batch, mixed.
    ///
    /// # Errors
    /// A batch without targets.
    pub fn apply(&self, mut batch: Batch, rng: &mut ChaCha8Rng) -> Result<Batch> {
        let lambda = beta("mixup", self.alpha)?.sample(rng) as f32;
        let partners = partners(batch.len(), rng);
        let targets = soft(&batch)?;
        batch.features = mix_rows(&batch.features, &partners, lambda);
        batch.targets = Targets::Values(mix_rows(&targets, &partners, lambda));
        Ok(batch)
    }
}

impl CutMix {
    /// With this `alpha`; the paper uses 1.
    ///
    /// # Errors
    /// `alpha` is not above 0.
    pub fn new(alpha: f64) -> Result<Self> {
        beta("cutmix", alpha).map(|_| Self { alpha })
    }

    /// The batch, mixed.
    ///
    /// # Errors
    /// A batch without targets; features that are not images.
    pub fn apply(&self, mut batch: Batch, rng: &mut ChaCha8Rng) -> Result<Batch> {
        let image = Planes::of("cutmix", &batch.features)?;
        let lambda = beta("cutmix", self.alpha)?.sample(rng);
        let partners = partners(batch.len(), rng);
        let targets = soft(&batch)?;
        let side = (1.0 - lambda).sqrt();
        let mut range = |size: usize| {
            let half = (side * size as f64 / 2.0) as usize;
            let centre = rng.random_range(0..size);
            centre.saturating_sub(half)..(centre + half).min(size)
        };
        let (rows, columns) = (range(image.height), range(image.width));
        let data = elements(&batch.features).into_owned();
        let sample = image.numel();
        batch.features.update_in_place(|out| {
            for (i, &j) in partners.iter().enumerate() {
                for line in 0..image.channels * image.height {
                    if rows.contains(&(line % image.height)) {
                        let start = line * image.width;
                        let (from, to) = (start + columns.start, start + columns.end);
                        out[i * sample + from..i * sample + to]
                            .copy_from_slice(&data[j * sample + from..j * sample + to]);
                    }
                }
            }
        });
        let cut = (rows.len() * columns.len()) as f32 / (image.height * image.width) as f32;
        batch.targets = Targets::Values(mix_rows(&targets, &partners, 1.0 - cut));
        Ok(batch)
    }
}
