//! Principal components.

use super::{eigh, features, same_width};
use crate::{Error, Result};
use tl_tensor::Tensor;

/// Principal component analysis: the directions of largest variance of
/// centred features, by the eigenvectors of the smaller of the covariance
/// `[d, d]` and the Gram matrix `[n, n]`, in double precision.
///
/// The variance is the unbiased one (`n - 1`). Each direction's largest number
/// is positive, so the result does not depend on the solver's signs.
///
/// ```
/// use tl_nn::{Tensor, shallow::Pca};
/// # fn main() -> tl_nn::Result<()> {
/// let x = Tensor::from_vec(vec![0.0, 0.0, 1.0, 1.1, 2.0, 1.9, 3.0, 3.0], [4, 2])?;
/// let pca = Pca::fit(&x, 1)?;
/// assert!(pca.explained_variance_ratio()[0] > 0.99);
/// assert_eq!(pca.transform(&x)?.dims(), [4, 1]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Pca {
    /// The mean of the features, `[d]`.
    pub mean: Tensor,
    /// The directions as rows, `[k, d]`, by descending variance.
    pub components: Tensor,
    /// The variance along each direction.
    pub explained_variance: Vec<f64>,
    /// The variance of all features together.
    pub total_variance: f64,
}

impl Pca {
    /// The first `k` directions of features `[n, d]`.
    ///
    /// # Errors
    /// `k` is not in `1..=min(n - 1, d)`; the features are not a matrix of
    /// finite numbers.
    pub fn fit(x: &Tensor, k: usize) -> Result<Self> {
        let [n, d] = features("pca", x)?;
        let most = d.min(n - 1);
        if k == 0 || k > most {
            let expected = format!("1 to {most}, the smaller of dimensions and samples - 1");
            return Err(Error::argument("pca", "k", k, expected));
        }
        let x = x.cast::<f64>();
        let mean = x.mean(0, true)?;
        let centred = x.sub(&mean)?;
        let wide = d > n;
        let gram =
            if wide { centred.matmul(&centred.t()?)? } else { centred.t()?.matmul(&centred)? };
        let (values, vectors) = eigh(&gram)?;
        let size = values.numel();
        let first = vectors.narrow(1, size - k, k)?.flip(1)?.t()?;
        let values: Vec<f64> = values.to_vec().into_iter().rev().take(k).collect();
        let mut rows = if wide { first.matmul(&centred)? } else { first }.contiguous().to_vec();
        for row in rows.chunks_mut(d) {
            let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            let largest =
                row.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
            let scale = if length > 0.0 { largest.signum() / length } else { 0.0 };
            row.iter_mut().for_each(|x| *x *= scale);
        }
        let freedom = (n - 1) as f64;
        Ok(Self {
            mean: mean.reshape(d)?.cast(),
            components: Tensor::from_vec(rows, [k, d])?.cast(),
            explained_variance: values.iter().map(|v| v.max(0.0) / freedom).collect(),
            total_variance: centred.square().sum_all().item()? / freedom,
        })
    }

    /// The part of the whole variance along each direction.
    pub fn explained_variance_ratio(&self) -> Vec<f64> {
        let total = if self.total_variance > 0.0 { self.total_variance } else { 1.0 };
        self.explained_variance.iter().map(|v| v / total).collect()
    }

    /// The coordinates along the directions: `[n, d]` becomes `[n, k]`.
    ///
    /// # Errors
    /// Not a finite matrix of as many dimensions as in training.
    pub fn transform(&self, x: &Tensor) -> Result<Tensor> {
        let [_, d] = features("pca", x)?;
        same_width("pca", d, self.mean.numel())?;
        Ok(x.sub(&self.mean)?.matmul(&self.components.t()?)?)
    }

    /// Coordinates scaled to unit variance: whitening.
    ///
    /// # Errors
    /// As [`transform`](Self::transform).
    pub fn whiten(&self, x: &Tensor) -> Result<Tensor> {
        let scale: Vec<f32> = self
            .explained_variance
            .iter()
            .map(|v| if *v > 0.0 { (1.0 / v.sqrt()) as f32 } else { 0.0 })
            .collect();
        let k = scale.len();
        Ok(self.transform(x)?.mul(&Tensor::from_vec(scale, [k])?)?)
    }

    /// Back from coordinates `[n, k]` to features `[n, d]`.
    ///
    /// # Errors
    /// Not a finite matrix with a column for each direction.
    pub fn inverse_transform(&self, z: &Tensor) -> Result<Tensor> {
        let [_, k] = features("pca", z)?;
        same_width("pca", k, self.explained_variance.len())?;
        Ok(z.matmul(&self.components)?.add(&self.mean)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use rand::SeedableRng;

    #[test]
    fn all_directions_give_the_features_back() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        for (n, d) in [(20, 4), (5, 9)] {
            let x: Tensor = Tensor::randn([n, d], &mut rng);
            let pca = Pca::fit(&x, d.min(n - 1))?;
            let back = pca.inverse_transform(&pca.transform(&x)?)?;
            assert!(back.sub(&x)?.abs().max(.., false)?.item()? < 1e-5);
            assert_abs_diff_eq!(
                pca.explained_variance_ratio().iter().sum::<f64>(),
                1.0,
                epsilon = 1e-9
            );
            let z = pca.whiten(&x)?;
            for v in z.var(0, true, false)?.to_vec() {
                assert_abs_diff_eq!(v, 1.0, epsilon = 1e-4);
            }
        }
        Ok(())
    }

    #[test]
    fn too_many_directions_are_refused() {
        let error = Pca::fit(&Tensor::zeros([3, 5]), 3).unwrap_err().to_string();
        assert!(error.contains("1 to 2"), "{error}");
    }
}
