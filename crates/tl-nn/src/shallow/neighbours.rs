//! Nearest neighbours.

use super::{features, labels, nearest::smallest_of_rows, numbers_of, same_width, squares};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tl_tensor::{Indices, Tensor};

/// What is near.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Distance {
    /// The Euclidean distance; each neighbour has one vote.
    #[default]
    Euclidean,
    /// The angle; a neighbour's vote weighs `exp(cos / temperature)` (Wu et al.
    /// 2018, section 3.4; 0.07 is usual).
    Cosine {
        /// The temperature.
        temperature: f64,
    },
}

/// The `k` nearest neighbours among labelled features, found by exact search
/// in blocks of queries. Of equal votes the class with the smaller number wins.
///
/// ```
/// use tl_nn::{Tensor, shallow::KNearest};
/// # fn main() -> tl_nn::Result<()> {
/// let x = Tensor::from_vec(vec![0.0, 0.1, 1.0, 1.1], [4, 1])?;
/// let knn = KNearest::fit(&x, &[0, 0, 1, 1], 2, 1)?;
/// assert_eq!(knn.predict(&Tensor::full([1, 1], 0.9))?, [1]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct KNearest {
    x: Tensor,
    /// What each sample adds to `scale · query·sample`.
    shift: Vec<f32>,
    y: Vec<usize>,
    classes: usize,
    k: usize,
    distance: Distance,
}

/// Queries that are compared with all samples at once: so many that bringing
/// the samples into the form for the product costs little.
const BLOCK: usize = 256;

impl KNearest {
    /// Remembers features `[n, d]` and their labels in `0..classes`.
    ///
    /// # Errors
    /// Features that are not a finite matrix; labels that do not fit; `k` not
    /// in `1..=n`.
    pub fn fit(x: &Tensor, y: &[usize], classes: usize, k: usize) -> Result<Self> {
        let [n, _] = features("k nearest", x)?;
        labels("k nearest", y, n, classes)?;
        if k == 0 || k > n {
            return Err(Error::argument("k nearest", "k", k, format!("1 to {n}, the samples")));
        }
        let distance = Distance::Euclidean;
        let x = x.detach().contiguous();
        Ok(Self { shift: squares(&x)?, x, y: y.to_vec(), classes, k, distance })
    }

    /// Another distance.
    ///
    /// # Errors
    /// A temperature not above 0; the cosine of a sample that is all 0.
    pub fn distance(mut self, distance: Distance) -> Result<Self> {
        if let Distance::Cosine { temperature } = distance {
            super::positive("k nearest", "temperature", temperature)?;
            self.x = unit(&self.x)?;
            self.shift.fill(0.0);
        }
        self.distance = distance;
        Ok(self)
    }

    /// The `k` nearest samples of each query `[m, d]`, `[m, k]`, nearest first,
    /// and their squared distances (or minus the cosine).
    ///
    /// # Errors
    /// Not a finite matrix of as many dimensions as in training.
    pub fn neighbours(&self, queries: &Tensor) -> Result<(Tensor, Indices)> {
        let [m, d] = features("k nearest", queries)?;
        same_width("k nearest", d, self.x.dims()[1])?;
        let (mut far, mut ids) = (Vec::with_capacity(m * self.k), Vec::with_capacity(m * self.k));
        for start in (0..m).step_by(BLOCK) {
            let block = queries.narrow(0, start, BLOCK.min(m - start))?;
            // |q - x|² = |q|² + (|x|² - 2 q·x), or minus the cosine.
            let (block, scale, own) = match self.distance {
                Distance::Euclidean => (block.clone(), -2.0, squares(&block)?),
                Distance::Cosine { .. } => (unit(&block)?, -1.0, Vec::new()),
            };
            let cross = block.matmul(&self.x.t()?)?;
            let cross = numbers_of(&cross);
            let found = smallest_of_rows(self.k, &cross, self.y.len(), scale, &self.shift);
            for (i, row) in found.into_iter().enumerate() {
                let add = own.get(i).copied();
                far.extend(row.iter().map(|&(value, _)| match add {
                    Some(own) => (value + own).max(0.0),
                    None => value,
                }));
                ids.extend(row.iter().map(|&(_, id)| id));
            }
        }
        Ok((Tensor::from_vec(far, [m, self.k])?, Indices::from_vec(ids, [m, self.k])?))
    }

    /// The votes for each class, `[m, classes]`, of queries `[m, d]`.
    ///
    /// # Errors
    /// As [`neighbours`](Self::neighbours).
    pub fn votes(&self, queries: &Tensor) -> Result<Tensor> {
        let (far, ids) = self.neighbours(queries)?;
        let m = far.dims()[0];
        let mut votes = vec![0.0; m * self.classes];
        for (at, (far, id)) in far.to_vec().into_iter().zip(ids.as_slice()).enumerate() {
            votes[at / self.k * self.classes + self.y[*id]] += match self.distance {
                Distance::Euclidean => 1.0,
                // Relative to a cosine of 1, so that nothing overflows.
                Distance::Cosine { temperature } => ((-far - 1.0) / temperature as f32).exp(),
            };
        }
        Ok(Tensor::from_vec(votes, [m, self.classes])?)
    }

    /// The classes of queries `[m, d]`.
    ///
    /// # Errors
    /// As [`neighbours`](Self::neighbours).
    pub fn predict(&self, queries: &Tensor) -> Result<Vec<usize>> {
        crate::metric::predictions(&self.votes(queries)?)
    }
}

/// Rows of length 1.
fn unit(x: &Tensor) -> Result<Tensor> {
    let length = x.norm(1, true)?;
    if length.to_vec().contains(&0.0) {
        let expected = "rows with a direction; the cosine of 0 is not defined";
        return Err(Error::argument("k nearest", "x", "a row of zeros", expected));
    }
    Ok(x.div(&length)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn neighbours_are_those_of_a_plain_search() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(4);
        let x: Tensor = Tensor::randn([50, 3], &mut rng);
        let q: Tensor = Tensor::randn([BLOCK + 3, 3], &mut rng);
        let y: Vec<usize> = (0..50).map(|i| i % 4).collect();
        let (_, ids) = KNearest::fit(&x, &y, 4, 5)?.neighbours(&q)?;
        let (x, q) = (x.to_vec(), q.to_vec());
        for (query, found) in q.chunks(3).zip(ids.as_slice().chunks(5)) {
            let far = |i: usize| -> f32 {
                query.iter().zip(&x[3 * i..3 * i + 3]).map(|(a, b)| (a - b) * (a - b)).sum()
            };
            let mut order: Vec<usize> = (0..50).collect();
            order.sort_by(|&a, &b| far(a).total_cmp(&far(b)));
            assert_eq!(found, &order[..5]);
        }
        Ok(())
    }

    #[test]
    fn the_cosine_ignores_length() -> Result<()> {
        let x = Tensor::from_vec(vec![1.0, 0.0, 0.0, 9.0], [2, 2])?;
        let knn =
            KNearest::fit(&x, &[0, 1], 2, 1)?.distance(Distance::Cosine { temperature: 0.07 })?;
        assert_eq!(knn.predict(&Tensor::from_vec(vec![5.0, 1.0, 0.1, 0.2], [2, 2])?)?, [0, 1]);
        assert!(knn.predict(&Tensor::zeros([1, 2])).unwrap_err().to_string().contains("zeros"));
        Ok(())
    }

    #[test]
    fn bad_arguments_are_refused() -> Result<()> {
        let x = Tensor::zeros([3, 2]);
        assert!(KNearest::fit(&x, &[0, 1, 1], 2, 4).unwrap_err().to_string().contains("1 to 3"));
        let knn = KNearest::fit(&x, &[0, 1, 1], 2, 1)?;
        let error = knn.predict(&Tensor::zeros([1, 3])).unwrap_err().to_string();
        assert!(error.contains("2 dimensions"), "{error}");
        Ok(())
    }
}
