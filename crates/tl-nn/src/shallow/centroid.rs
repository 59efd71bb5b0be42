//! The nearest class mean.

use super::{features, labels, same_width, squared_distances};
use crate::{Error, Result};
use tl_tensor::{Indices, Tensor};

/// Classifies by the nearest mean of a class, by Euclidean distance.
///
/// ```
/// use tl_nn::{Tensor, shallow::NearestCentroid};
/// # fn main() -> tl_nn::Result<()> {
/// let x = Tensor::from_vec(vec![0.0, 0.2, 1.0, 1.2], [4, 1])?;
/// let means = NearestCentroid::fit(&x, &[0, 0, 1, 1], 2)?;
/// assert_eq!(means.predict(&Tensor::full([1, 1], 0.9))?, [1]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct NearestCentroid {
    /// The means, `[classes, d]`.
    pub centroids: Tensor,
}

impl NearestCentroid {
    /// The mean of each class of features `[n, d]` with labels in `0..classes`.
    ///
    /// # Errors
    /// Features that are not a finite matrix; labels that do not fit; a class
    /// without a sample.
    pub fn fit(x: &Tensor, y: &[usize], classes: usize) -> Result<Self> {
        let [n, _] = features("nearest centroid", x)?;
        labels("nearest centroid", y, n, classes)?;
        let belongs = Tensor::one_hot(&Indices::from(y), classes)?;
        let counts = belongs.sum(0, false)?.reshape([classes, 1])?;
        if let Some(empty) = counts.to_vec().iter().position(|c| *c == 0.0) {
            let got = format!("none of class {empty}");
            return Err(Error::argument(
                "nearest centroid",
                "labels",
                got,
                "a sample of each class",
            ));
        }
        Ok(Self { centroids: belongs.t()?.matmul(&x.detach())?.div(&counts)? })
    }

    /// Minus the squared distances to the means, `[m, classes]`.
    ///
    /// # Errors
    /// Not a finite matrix of as many dimensions as in training.
    pub fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let [_, d] = features("nearest centroid", x)?;
        same_width("nearest centroid", d, self.centroids.dims()[1])?;
        Ok(squared_distances(x, &self.centroids)?.neg())
    }

    /// The classes of `[m, d]`.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn predict(&self, x: &Tensor) -> Result<Vec<usize>> {
        crate::metric::predictions(&self.logits(x)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_without_samples_is_refused() {
        let error =
            NearestCentroid::fit(&Tensor::zeros([2, 1]), &[0, 2], 3).unwrap_err().to_string();
        assert!(error.contains("none of class 1"), "{error}");
    }
}
