//! Augmented views that a cache can know.

use super::hash::{self, Hash};
use crate::{Error, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::{fmt, sync::Arc};
use tl_data::{Dataset, transform::Transform};
use tl_nn::Tensor;

/// A fixed number of augmented views of every sample. View `v` of a sample
/// depends on `v`, the seed and the sample's content alone, not on its place
/// in a batch or in the data: so a teacher can be asked about each view once,
/// for all epochs and runs. Epoch `e` shows view `e mod count` of all samples.
///
/// ```
/// use tl_data::{samples, transform::RandomAffine};
/// use tl_distill::Views;
/// # fn main() -> tl_distill::Result<()> {
/// let data = samples::digits();
/// let views = Views::new("shifts", 4, 0, RandomAffine::new().translate(0.1))?;
/// let first = views.of(&data, 0)?;
/// assert_eq!(first.features().to_vec(), views.of(&data, 4)?.features().to_vec());
/// assert_ne!(first.features().to_vec(), views.of(&data, 1)?.features().to_vec());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Views {
    name: String,
    count: usize,
    seed: u64,
    transform: Arc<dyn Transform>,
}

impl fmt::Debug for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Views");
        f.field("name", &self.name).field("count", &self.count).field("seed", &self.seed);
        f.finish_non_exhaustive()
    }
}

impl Views {
    /// `count` views by a transform that keeps the shape of a sample. `name`
    /// stands for the transform in a cache.
    ///
    /// # Errors
    /// No view.
    pub fn new(
        name: &str,
        count: usize,
        seed: u64,
        transform: impl Transform + 'static,
    ) -> Result<Self> {
        if count == 0 {
            return Err(Error::argument("views", "count", count, "at least 1"));
        }
        Ok(Self { name: name.to_owned(), count, seed, transform: Arc::new(transform) })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The data with the features of one view; views repeat after `count`.
    ///
    /// # Errors
    /// Those of the transform; it changes the shape of a sample.
    pub fn of(&self, data: &Dataset, view: usize) -> Result<Dataset> {
        let x = self.apply(data.features(), &hash::of_samples(data), view)?;
        Ok(data.with_features(&x)?)
    }

    /// One view of some samples, whose hashes are given.
    pub(crate) fn apply(&self, x: &Tensor, samples: &[u64], view: usize) -> Result<Tensor> {
        let size = x.numel() / x.dims()[0].max(1);
        let mut all = Vec::with_capacity(x.numel());
        for (i, sample) in samples.iter().enumerate() {
            let mut hash = Hash::new();
            for word in [self.seed, (view % self.count) as u64, *sample] {
                hash.word(word);
            }
            let one = x.narrow(0, i, 1)?.contiguous();
            let y = self.transform.apply(&one, &mut ChaCha8Rng::seed_from_u64(hash.0))?;
            if y.numel() != size {
                let expected = format!("{:?}, as it was", &one.dims()[1..]);
                return Err(Error::argument(
                    "views",
                    "sample",
                    format!("{:?}", y.dims()),
                    expected,
                ));
            }
            all.extend(y.to_vec());
        }
        Ok(Tensor::from_vec(all, *x.shape())?)
    }

    /// What tells these views from others: what they are called, and what they
    /// make of a sample that is always the same.
    pub(super) fn hash(&self, sample_shape: &[usize]) -> Result<u64> {
        let mut hash = Hash::new();
        hash.name(&self.name);
        hash.word(self.count as u64);
        hash.word(self.seed);
        let dims = [&[1], sample_shape].concat();
        let numel: usize = dims.iter().product();
        let probe = Tensor::linspace(0.0, 1.0, numel).reshape(tl_nn::Shape::new(&dims)?)?;
        for view in 0..self.count.min(4) {
            hash.tensor(&self.apply(&probe, &[0], view)?);
        }
        Ok(hash.0)
    }
}
