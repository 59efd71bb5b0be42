//! To mean 0 and deviation 1.

use super::Transform;
use crate::{Error, Result, dataset::elements};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_tensor::Tensor;

/// `(x - mean) / std` for each entry of axis 1: each feature of `[n, d]`, each
/// channel of `[n, c, h, w]`. Fit it on the training part alone.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_data::{samples, transform::Standardise};
/// # fn main() -> tl_data::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let (train, test) = samples::wine().split(0.8, &mut rng)?;
/// let scale = Standardise::fit(train.features())?;
/// let train = train.with_features(&scale.transform(train.features())?)?;
/// let test = test.with_features(&scale.transform(test.features())?)?;
/// assert!(train.features().mean_all().item()?.abs() < 1e-5);
/// # let _ = test;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standardise {
    /// What is subtracted, one for each entry of axis 1.
    pub mean: Vec<f32>,
    /// What is divided by.
    pub std: Vec<f32>,
}

impl Standardise {
    /// Of known means and deviations, such as those of ImageNet.
    ///
    /// # Errors
    /// Lists of different lengths; a deviation that is not above 0.
    pub fn new(mean: Vec<f32>, std: Vec<f32>) -> Result<Self> {
        if mean.len() != std.len() || std.iter().any(|s| !s.is_finite() || *s <= 0.0) {
            let expected = format!("{} numbers above 0, one for each mean", mean.len());
            return Err(Error::argument("standardise", "std", std, expected));
        }
        Ok(Self { mean, std })
    }

    /// The mean and (biased) standard deviation of these features. An entry
    /// that never changes keeps a deviation of 1.
    ///
    /// # Errors
    /// No sample; features without an axis 1.
    pub fn fit(features: &Tensor) -> Result<Self> {
        let (n, entries, inner) = layout(features)?;
        if n * inner == 0 {
            return Err(Error::Lacks { op: "standardise", missing: "samples" });
        }
        let data = elements(features);
        let count = (n * inner) as f64;
        let mut moments = vec![(0.0_f64, 0.0_f64); entries];
        let each = |f: &mut dyn FnMut(usize, f64)| {
            for (block, values) in data.chunks_exact(inner).enumerate() {
                values.iter().for_each(|&x| f(block % entries, f64::from(x)));
            }
        };
        each(&mut |entry, x| moments[entry].0 += x / count);
        let means: Vec<f64> = moments.iter().map(|m| m.0).collect();
        each(&mut |entry, x| moments[entry].1 += (x - means[entry]).powi(2) / count);
        let std = |&(mean, variance): &(f64, f64)| {
            let std = variance.sqrt();
            if std <= 1e-7 * mean.abs() || std == 0.0 { 1.0 } else { std as f32 }
        };
        Ok(Self {
            mean: means.iter().map(|&m| m as f32).collect(),
            std: moments.iter().map(std).collect(),
        })
    }

    /// The features, standardised.
    ///
    /// # Errors
    /// Another number of entries than this was fitted for.
    pub fn transform(&self, features: &Tensor) -> Result<Tensor> {
        self.each(features, |x, mean, std| (x - mean) / std)
    }

    /// The features as they were before.
    ///
    /// # Errors
    /// Another number of entries than this was fitted for.
    pub fn inverse(&self, features: &Tensor) -> Result<Tensor> {
        self.each(features, |x, mean, std| x * std + mean)
    }

    fn each(&self, features: &Tensor, f: impl Fn(f32, f32, f32) -> f32) -> Result<Tensor> {
        let (_, entries, inner) = layout(features)?;
        if entries != self.mean.len() || entries != self.std.len() {
            let expected = format!("{} entries on axis 1, as in the fit", self.mean.len());
            return Err(Error::shape("standardise", features.dims(), expected));
        }
        let mut out = features.detach();
        out.update_in_place(|data| {
            for (block, values) in data.chunks_exact_mut(inner.max(1)).enumerate() {
                let (mean, std) = (self.mean[block % entries], self.std[block % entries]);
                values.iter_mut().for_each(|x| *x = f(*x, mean, std));
            }
        });
        Ok(out)
    }
}

/// Samples, entries of axis 1, and how many numbers each entry has.
fn layout(features: &Tensor) -> Result<(usize, usize, usize)> {
    match features.dims() {
        [n, entries, rest @ ..] => Ok((*n, *entries, rest.iter().product())),
        other => Err(Error::shape("standardise", other, "[n, entries, ...]")),
    }
}

impl Transform for Standardise {
    fn apply(&self, features: &Tensor, _: &mut ChaCha8Rng) -> Result<Tensor> {
        self.transform(features)
    }
}
