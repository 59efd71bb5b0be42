//! Shallow learners for features that a network has computed: decompositions,
//! linear models in closed form, neighbours, clusters. Feature `shallow`.
//!
//! | what | for |
//! |---|---|
//! | [`eigh`], [`Svd`] | decompositions, in double precision |
//! | [`Pca`] | fewer dimensions, pictures of embeddings |
//! | [`TSne`] | pictures in which neighbours stay neighbours |
//! | [`LogisticRegression`] | the usual linear probe |
//! | [`Ridge`] | regression and classification in closed form |
//! | [`KNearest`], [`NearestCentroid`] | probes without training |
//! | [`KMeans`] | clusters without labels |

mod centroid;
mod decompose;
mod kmeans;
mod logistic;
mod nearest;
mod neighbours;
mod pca;
mod ridge;
mod tsne;

pub use centroid::NearestCentroid;
pub use decompose::{Svd, eigh};
pub use kmeans::{Clusters, KMeans};
pub use logistic::{LogisticFit, LogisticRegression};
pub use neighbours::{Distance, KNearest};
pub use pca::Pca;
pub use ridge::Ridge;
pub use tsne::TSne;

use crate::{Error, Result};
use tl_tensor::Tensor;

/// `[n, d]` with at least one sample, no NaN, no infinity.
fn features(what: &'static str, x: &Tensor) -> Result<[usize; 2]> {
    let &[n, d] = x.dims() else {
        let expected = "features [samples, dimensions]; flatten images first";
        return Err(Error::argument(what, "x", format!("{:?}", x.dims()), expected));
    };
    if n == 0 || d == 0 {
        let expected = "at least one sample and one dimension";
        return Err(Error::argument(what, "x", format!("{:?}", x.dims()), expected));
    }
    if !x.is_finite() {
        return Err(Error::argument(what, "x", "NaN or infinite somewhere", "finite numbers"));
    }
    Ok([n, d])
}

/// A label in `0..classes` for each of the `n` samples.
fn labels(what: &'static str, labels: &[usize], n: usize, classes: usize) -> Result<()> {
    if labels.len() != n {
        let expected = format!("{n}, one a sample");
        return Err(Error::argument(what, "labels", labels.len(), expected));
    }
    match labels.iter().find(|&&l| l >= classes) {
        Some(label) => {
            Err(Error::argument(what, "labels", label, format!("less than {classes}, the classes")))
        }
        None => Ok(()),
    }
}

/// As many dimensions as in training.
fn same_width(what: &'static str, got: usize, expected: usize) -> Result<()> {
    if got != expected {
        let expected = format!("{expected} dimensions, as in training");
        return Err(Error::argument(what, "x", format!("{got} dimensions"), expected));
    }
    Ok(())
}

/// A number above 0.
fn positive(what: &'static str, name: &'static str, number: f64) -> Result<()> {
    if !(number > 0.0 && number.is_finite()) {
        return Err(Error::argument(what, name, number, "a number above 0"));
    }
    Ok(())
}

/// The squared Euclidean distances `|x_i|² - 2 x_i·y_j + |y_j|²`, `[n, m]`.
fn squared_distances(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let xx = x.square().sum(1, true)?;
    let yy = y.square().sum(1, false)?;
    Ok(x.matmul(&y.t()?)?.mul_scalar(-2.0).add(&xx)?.add(&yy)?.clamp(0.0, f32::INFINITY))
}

/// The squared length of each row.
fn squares(x: &Tensor) -> Result<Vec<f32>> {
    Ok(x.square().sum(1, false)?.to_vec())
}

/// The numbers, row by row; not copied if they lie so.
fn numbers_of(x: &Tensor) -> std::borrow::Cow<'_, [f32]> {
    match x.view().ok().and_then(|view| view.to_slice()) {
        Some(slice) => slice.into(),
        None => x.to_vec().into(),
    }
}
