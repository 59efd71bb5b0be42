//! Learners on features, against scikit-learn.

use super::Workload;
use crate::fill::{classes, numbers};
use tl_nn::{
    Result, Tensor,
    shallow::{KMeans, KNearest, LogisticRegression},
};

/// The centres of `k` clouds of features, one after another, and noise.
fn clouds(n: usize, d: usize, k: usize, noise: f32) -> Result<Tensor> {
    let centres = numbers(5, [k, d]);
    let own = centres.index_select(0, &classes(n, k))?;
    Ok(own.add(&numbers(6, [n, d]).mul_scalar(noise))?)
}

fn numbers_of(labels: impl IntoIterator<Item = usize>) -> Result<Tensor> {
    let all: Vec<f32> = labels.into_iter().map(|l| l as f32).collect();
    let n = all.len();
    Ok(Tensor::from_vec(all, [n])?)
}

/// The five nearest neighbours.
pub(super) const KNN: Workload = Workload {
    name: "knn",
    about: "the 5 nearest of 10,000 x 512 features for 1,000 queries",
    peers: &["sklearn", "torch"],
    setup: || {
        let (x, queries) = (numbers(1, [10_000, 512]), numbers(2, [1000, 512]));
        let labels: Vec<usize> = classes(10_000, 10).as_slice().to_vec();
        let knn = KNearest::fit(&x, &labels, 10, 5)?;
        Ok(Box::new(move || {
            let (_, ids) = knn.neighbours(&queries)?;
            Ok(numbers_of(ids.as_slice().iter().copied())?)
        }))
    },
    ..Workload::DEFAULT
};

/// Lloyd's algorithm.
pub(super) const KMEANS: Workload = Workload {
    name: "kmeans",
    about: "k-means++ and 20 of Lloyd's iterations, 10,000 x 64 features, 32 clusters, one start",
    peers: &["sklearn"],
    // Both sides draw their own seeds.
    tolerance: None,
    setup: || {
        let x = numbers(1, [10_000, 64]);
        let kmeans = KMeans { iterations: 20, restarts: 1, ..KMeans::new(32) };
        Ok(Box::new(move || {
            let found = kmeans.fit(&x)?;
            Ok(Tensor::scalar(found.inertia as f32))
        }))
    },
    ..Workload::DEFAULT
};

/// Multinomial logistic regression.
pub(super) const LOGREG: Workload = Workload {
    name: "logreg",
    about: "L-BFGS to a gradient of 1e-4, 5,000 x 1,280 features, 10 classes, C = 1",
    peers: &["sklearn"],
    // Both stop within the tolerance of the gradient, not at the same point.
    tolerance: Some(2e-2),
    setup: || {
        let x = clouds(5000, 1280, 10, 8.0)?;
        let labels: Vec<usize> = classes(5000, 10).as_slice().to_vec();
        let regression = LogisticRegression { tolerance: 1e-4, ..LogisticRegression::new() };
        Ok(Box::new(move || {
            let fit = regression.fit(&x, &labels, 10)?;
            Ok(fit.logits(&x)?)
        }))
    },
    ..Workload::DEFAULT
};
