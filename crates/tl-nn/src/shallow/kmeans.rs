//! Clusters.

use super::{
    features, nearest::smallest_of_rows, numbers_of, same_width, squared_distances, squares,
};
use crate::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_tensor::{Indices, Tensor};

/// k-means: Lloyd's algorithm from k-means++ seeds (Arthur and Vassilvitskii
/// 2007), the best of several restarts.
///
/// Defaults: 300 iterations, 3 restarts, seed 0; it stops when no sample
/// changes its cluster. A cluster that loses all its samples takes the sample
/// that is farthest from its centre.
///
/// ```
/// use tl_nn::{Tensor, shallow::KMeans};
/// # fn main() -> tl_nn::Result<()> {
/// let x = Tensor::from_vec(vec![0.0, 0.1, 5.0, 5.1], [4, 1])?;
/// let found = KMeans::new(2).fit(&x)?;
/// assert_eq!(found.labels[0], found.labels[1]);
/// assert_ne!(found.labels[0], found.labels[2]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KMeans {
    /// How many clusters.
    pub clusters: usize,
    /// The most iterations of a run.
    pub iterations: usize,
    /// How many runs from different seeds.
    pub restarts: usize,
    /// The seed of the first run.
    pub seed: u64,
}

/// Clusters that were found.
#[derive(Clone, Debug)]
pub struct Clusters {
    /// The means, `[clusters, d]`.
    pub centres: Tensor,
    /// The cluster of each sample.
    pub labels: Vec<usize>,
    /// The sum of squared distances to the own centre.
    pub inertia: f64,
}

impl Clusters {
    /// The nearest cluster of each row of `[m, d]`.
    ///
    /// # Errors
    /// Not a finite matrix of as many dimensions as in training.
    pub fn predict(&self, x: &Tensor) -> Result<Vec<usize>> {
        let [_, d] = features("k-means", x)?;
        same_width("k-means", d, self.centres.dims()[1])?;
        Ok(squared_distances(x, &self.centres)?.argmin(1)?.as_slice().to_vec())
    }
}

impl KMeans {
    /// That many clusters and the defaults.
    pub fn new(clusters: usize) -> Self {
        Self { clusters, iterations: 300, restarts: 3, seed: 0 }
    }

    /// Another seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The clusters of features `[n, d]`.
    ///
    /// # Errors
    /// Not a finite matrix; clusters not in `1..=n`; no restart.
    pub fn fit(&self, x: &Tensor) -> Result<Clusters> {
        let [n, _] = features("k-means", x)?;
        if self.clusters == 0 || self.clusters > n {
            let expected = format!("1 to {n}, the samples");
            return Err(Error::argument("k-means", "clusters", self.clusters, expected));
        }
        let x = x.detach().contiguous();
        let mut best: Option<Clusters> = None;
        for restart in 0..self.restarts as u64 {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed.wrapping_add(restart));
            let found = self.run(&x, &mut rng)?;
            if best.as_ref().is_none_or(|b| found.inertia < b.inertia) {
                best = Some(found);
            }
        }
        best.ok_or_else(|| Error::argument("k-means", "restarts", 0, "at least one"))
    }

    fn run(&self, x: &Tensor, rng: &mut ChaCha8Rng) -> Result<Clusters> {
        let own = squares(x)?;
        let mut centres = self.seeds(x, &own, rng)?;
        let mut labels = Vec::new();
        let mut iteration = 0;
        loop {
            let cross = x.matmul(&centres.t()?)?;
            let shift = squares(&centres)?;
            let best = smallest_of_rows(1, &numbers_of(&cross), self.clusters, -2.0, &shift);
            let best = best.into_iter().map(|row| row[0]).zip(&own);
            let (near, found): (Vec<f32>, Vec<usize>) =
                best.map(|((value, id), own)| ((value + own).max(0.0), id)).unzip();
            let done = found == labels || iteration == self.iterations;
            labels = found;
            if done {
                let inertia = near.iter().copied().map(f64::from).sum();
                return Ok(Clusters { centres, labels, inertia });
            }
            centres = self.means(x, &labels, near)?;
            iteration += 1;
        }
    }

    /// The mean of each cluster.
    fn means(&self, x: &Tensor, labels: &[usize], mut near: Vec<f32>) -> Result<Tensor> {
        let d = x.dims()[1];
        let mut counts = vec![0.0_f32; self.clusters];
        labels.iter().for_each(|&l| counts[l] += 1.0);
        let sums = Tensor::zeros([self.clusters, d]).index_add(0, &Indices::from(labels), x)?;
        let divisors = counts.iter().map(|c| c.max(1.0)).collect();
        let mut means = sums.div(&Tensor::from_vec(divisors, [self.clusters, 1])?)?.to_vec();
        for empty in (0..self.clusters).filter(|&c| counts[c] == 0.0) {
            let far = (0..near.len()).max_by(|&a, &b| near[a].total_cmp(&near[b])).unwrap_or(0);
            near[far] = 0.0;
            let row = x.narrow(0, far, 1)?.to_vec();
            means[empty * d..(empty + 1) * d].copy_from_slice(&row);
        }
        Ok(Tensor::from_vec(means, [self.clusters, d])?)
    }

    /// Each further seed is drawn in proportion to its squared distance from
    /// those there are.
    fn seeds(&self, x: &Tensor, own: &[f32], rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let n = x.dims()[0];
        let mut picked = vec![rng.random_range(0..n)];
        let mut near = vec![f32::INFINITY; n];
        while picked.len() < self.clusters {
            let last = picked[picked.len() - 1];
            let cross = x.matmul(&x.narrow(0, last, 1)?.t()?)?.to_vec();
            for ((near, own_i), cross) in near.iter_mut().zip(own).zip(cross) {
                *near = near.min((own_i + own[last] - 2.0 * cross).max(0.0));
            }
            let total: f64 = near.iter().copied().map(f64::from).sum();
            let mut left = rng.random::<f64>() * total;
            let next = near.iter().position(|&w| {
                left -= f64::from(w);
                left < 0.0
            });
            // Fewer different points than clusters: any point will do.
            picked.push(next.unwrap_or_else(|| rng.random_range(0..n)));
        }
        Ok(x.index_select(0, &Indices::from(&picked[..]))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_heaps_are_found() -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let noise: Tensor = Tensor::randn([90, 2], &mut rng);
        let at: Vec<f32> = (0..90).flat_map(|i| [10.0 * (i % 3) as f32, 0.0]).collect();
        let x = noise.add(&Tensor::from_vec(at, [90, 2])?)?;
        let found = KMeans::new(3).fit(&x)?;
        for i in 0..90 {
            assert_eq!(found.labels[i], found.labels[i % 3]);
        }
        assert!(found.inertia < 90.0 * 2.0 * 1.5);
        assert_eq!(found.predict(&x)?, found.labels);
        Ok(())
    }

    #[test]
    fn equal_points_are_no_trouble() -> Result<()> {
        let found = KMeans::new(3).fit(&Tensor::ones([5, 2]))?;
        assert_eq!(found.inertia, 0.0);
        assert!(KMeans::new(6).fit(&Tensor::ones([5, 2])).is_err());
        Ok(())
    }
}
