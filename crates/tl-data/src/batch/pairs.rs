//! Two data sets side by side, such as source and target domain.

use super::{Batch, Batches, Loader};
use crate::Result;

/// Pairs of batches from two loaders. An epoch is as long as the longer one's;
/// the shorter one begins again, in a new order, as often as needed.
/// ```
/// use tl_data::{Batching, Pairs, samples};
///
/// # fn main() -> tl_data::Result<()> {
/// let source = samples::digits().batches(Batching::new(32).shuffled(1).drop_last(true))?;
/// let (target, _) = samples::mnist_8x8();
/// let target = target.without_targets().batches(Batching::new(32).shuffled(2).drop_last(true))?;
/// let pairs = Pairs::new(source, target);
/// assert_eq!(pairs.len(), 62);
/// for pair in pairs.epoch(0) {
///     let (source, target) = pair?;
///     assert_eq!(source.len(), target.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Pairs {
    first: Loader,
    second: Loader,
}

impl Pairs {
    /// Pairs of batches of `first` and `second`, each with its own size, order,
    /// seed and steps. Drop the last batch of both to have equal sizes always.
    pub fn new(first: Loader, second: Loader) -> Self {
        Self { first, second }
    }

    /// The number of pairs in an epoch: batches of the longer loader.
    #[expect(clippy::len_without_is_empty, reason = "there is always a pair")]
    pub fn len(&self) -> usize {
        self.first.len().max(self.second.len())
    }

    /// All pairs of an epoch.
    pub fn epoch(&self, epoch: u64) -> PairBatches {
        self.epoch_from(epoch, 0)
    }

    /// The pairs of an epoch without the first `skip`.
    pub fn epoch_from(&self, epoch: u64, skip: usize) -> PairBatches {
        let total = self.len();
        PairBatches {
            first: Cycle::new(&self.first, epoch, total, skip),
            second: Cycle::new(&self.second, epoch, total, skip),
            left: total.saturating_sub(skip),
        }
    }
}

/// The pairs of one epoch. After an error there are no more.
#[derive(Debug)]
pub struct PairBatches {
    first: Cycle,
    second: Cycle,
    left: usize,
}

impl Iterator for PairBatches {
    type Item = Result<(Batch, Batch)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let (first, second) = (self.first.next()?, self.second.next()?);
        let pair = first.and_then(|first| Ok((first, second?)));
        if pair.is_err() {
            self.left = 0;
        }
        Some(pair)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

/// A loader that begins again. Its rounds are numbered through all epochs, so
/// none comes twice.
#[derive(Debug)]
pub(super) struct Cycle {
    loader: Loader,
    round: u64,
    batches: Batches,
}

impl Cycle {
    pub(super) fn new(loader: &Loader, epoch: u64, total: usize, skip: usize) -> Self {
        let rounds = total.div_ceil(loader.len()) as u64;
        let round = epoch.wrapping_mul(rounds).wrapping_add((skip / loader.len()) as u64);
        let batches = loader.epoch_from(round, skip % loader.len());
        Self { loader: loader.clone(), round, batches }
    }

    pub(super) fn next(&mut self) -> Option<Result<Batch>> {
        self.batches.next().or_else(|| {
            self.round = self.round.wrapping_add(1);
            self.batches = self.loader.epoch(self.round);
            self.batches.next()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batching, Dataset};
    use tl_tensor::Tensor;

    fn loader(n: usize, prefetch: usize) -> Loader {
        let data = Dataset::unlabelled(Tensor::zeros([n, 1])).unwrap();
        data.batches(Batching::new(2).shuffled(3).prefetch(prefetch)).unwrap()
    }

    fn seen(pairs: &Pairs, epoch: u64, skip: usize) -> Vec<(Vec<usize>, Vec<usize>)> {
        let both = pairs.epoch_from(epoch, skip).map(|p| p.unwrap());
        both.map(|(a, b)| (a.indices, b.indices)).collect()
    }

    #[test]
    fn the_shorter_set_begins_again_in_a_new_order() {
        let pairs = Pairs::new(loader(20, 0), loader(6, 2));
        let epoch = seen(&pairs, 0, 0);
        assert_eq!(epoch.len(), 10);
        let short: Vec<usize> = epoch.iter().flat_map(|p| p.1.clone()).collect();
        for round in short.chunks_exact(6) {
            let mut round = round.to_vec();
            round.sort_unstable();
            assert_eq!(round, [0, 1, 2, 3, 4, 5]);
        }
        assert_ne!(short[..6], short[6..12]);
        assert_eq!(seen(&pairs, 0, 4), epoch[4..]);
        assert_ne!(seen(&pairs, 1, 0), epoch);
    }
}
