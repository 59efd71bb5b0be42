//! Any number of data sets side by side, such as several source domains.

use super::{Batch, Loader, pairs::Cycle};
use crate::{Error, Result};

/// Batches of several loaders, one of each at a time: [`Pairs`](super::Pairs)
/// for any number. An epoch is as long as the longest one's; the others begin
/// again, in a new order, as often as needed.
/// ```
/// use tl_data::{Batching, Several, samples};
///
/// # fn main() -> tl_data::Result<()> {
/// let uci = samples::digits().batches(Batching::new(32).shuffled(1).drop_last(true))?;
/// let (mnist, few) = samples::mnist_8x8();
/// let mnist = mnist.batches(Batching::new(32).shuffled(2).drop_last(true))?;
/// let few = few.batches(Batching::new(8).shuffled(3).drop_last(true))?;
/// let all = Several::new(vec![uci, mnist, few])?;
/// for batches in all.epoch(0) {
///     assert_eq!(batches?.iter().map(|b| b.len()).collect::<Vec<_>>(), [32, 32, 8]);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Several {
    loaders: Vec<Loader>,
}

impl Several {
    /// Batches of these loaders, each with its own size, order, seed and steps.
    ///
    /// # Errors
    /// No loader.
    pub fn new(loaders: Vec<Loader>) -> Result<Self> {
        if loaders.is_empty() {
            return Err(Error::argument("several loaders", "loaders", "none", "at least one"));
        }
        Ok(Self { loaders })
    }

    /// The number of draws in an epoch: batches of the longest loader.
    #[expect(clippy::len_without_is_empty, reason = "there is always a batch")]
    pub fn len(&self) -> usize {
        self.loaders.iter().map(Loader::len).max().unwrap_or(0)
    }

    /// All draws of an epoch, in the order of the loaders. After an error there
    /// are no more.
    pub fn epoch(&self, epoch: u64) -> impl Iterator<Item = Result<Vec<Batch>>> + use<> {
        let total = self.len();
        let mut cycles: Vec<Cycle> =
            self.loaders.iter().map(|l| Cycle::new(l, epoch, total, 0)).collect();
        let mut failed = false;
        (0..total).map_while(move |_| {
            if failed {
                return None;
            }
            let draw: Option<Result<Vec<Batch>>> = cycles.iter_mut().map(Cycle::next).collect();
            failed = draw.as_ref().is_none_or(Result::is_err);
            draw
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batching, Dataset, Pairs};
    use tl_tensor::Tensor;

    fn loader(n: usize) -> Loader {
        let data = Dataset::unlabelled(Tensor::zeros([n, 1])).unwrap();
        data.batches(Batching::new(2).shuffled(3)).unwrap()
    }

    #[test]
    fn two_of_them_are_a_pair() {
        let several = Several::new(vec![loader(20), loader(6)]).unwrap();
        let pairs = Pairs::new(loader(20), loader(6));
        assert_eq!(several.len(), pairs.len());
        for (draw, pair) in several.epoch(2).zip(pairs.epoch(2)) {
            let (draw, pair) = (draw.unwrap(), pair.unwrap());
            assert_eq!(draw[0].indices, pair.0.indices);
            assert_eq!(draw[1].indices, pair.1.indices);
        }
        assert_eq!(several.epoch(0).size_hint().1, Some(10));
        assert!(Several::new(Vec::new()).is_err());
    }
}
