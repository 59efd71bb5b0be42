//! Who computes what of a global batch.

use crate::{Collective, Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How the gradients of ranks are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reduction {
    /// The global batch is cut into one part for each rank, and the sum is
    /// that of [`Collective::all_reduce`]. The least work; the bits depend on
    /// the number of ranks.
    Fast,
    /// The global batch is cut into this many micro-shards whatever the number
    /// of ranks, and their gradients are summed in one fixed tree: any number
    /// of ranks from 1 to `shards` gives the same bits.
    Deterministic {
        /// Micro-shards of a global batch.
        shards: usize,
    },
}

/// Which micro-shards of every global batch this rank works on: a run of them,
/// as equal in number as can be.
///
/// With [`Reduction::Deterministic`] the condition is `ranks <= shards`, no
/// more; ranks are equally busy if `shards` is a multiple of them.
/// ```
/// use tl_dist::{Plan, Reduction, Solo};
/// let plan = Plan::new(&Solo, Reduction::Deterministic { shards: 8 })?;
/// assert_eq!((plan.shards(), plan.own()), (8, 0..8));
/// # Ok::<(), tl_dist::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    rank: usize,
    size: usize,
    shards: usize,
    reduction: Reduction,
}

impl Plan {
    /// The plan of this rank.
    ///
    /// # Errors
    /// No shard; more ranks than shards.
    pub fn new(world: &dyn Collective, reduction: Reduction) -> Result<Self> {
        let (rank, size) = (world.rank(), world.size());
        let shards = match reduction {
            Reduction::Fast => size,
            Reduction::Deterministic { shards } => shards,
        };
        if shards < size {
            let expected = format!("at least {size}, one for each rank; or start fewer ranks");
            return Err(Error::argument("plan", "shards", shards, expected));
        }
        Ok(Self { rank, size, shards, reduction })
    }

    /// How gradients are summed.
    pub fn reduction(&self) -> Reduction {
        self.reduction
    }

    /// The number of ranks.
    pub fn ranks(&self) -> usize {
        self.size
    }

    /// Micro-shards of a global batch.
    pub fn shards(&self) -> usize {
        self.shards
    }

    /// The micro-shards of this rank.
    pub fn own(&self) -> Range<usize> {
        self.of_rank(self.rank)
    }

    /// The micro-shards of a rank.
    pub fn of_rank(&self, rank: usize) -> Range<usize> {
        part(self.shards, self.size, rank)
    }

    /// The samples of a global batch of `samples` that are micro-shard
    /// `shard`: neighbours, and as many in each as can be. It depends on no
    /// number of ranks, but for [`Reduction::Fast`].
    pub fn samples(&self, samples: usize, shard: usize) -> Range<usize> {
        part(samples, self.shards, shard)
    }
}

/// Part `i` of `0..n` cut into `parts` of nearly equal length.
pub(crate) fn part(n: usize, parts: usize, i: usize) -> Range<usize> {
    let (small, larger) = (n / parts.max(1), n % parts.max(1));
    let start = i * small + i.min(larger);
    start..start + small + usize::from(i < larger)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Solo, Threads};

    #[test]
    fn parts_cover_and_do_not_overlap() {
        for (n, parts) in [(10, 3), (3, 5), (0, 2), (8, 8), (7, 1)] {
            let all: Vec<usize> = (0..parts).flat_map(|i| part(n, parts, i)).collect();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
            let lengths: Vec<usize> = (0..parts).map(|i| part(n, parts, i).len()).collect();
            assert!(lengths.iter().max().unwrap() - lengths.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn more_ranks_than_shards_are_refused() {
        let error = Threads::run::<_, Error>(3, |world| {
            Plan::new(world, Reduction::Deterministic { shards: 2 })
        })
        .unwrap_err();
        assert!(error.to_string().contains("shards is 2; expected at least 3"), "{error}");
        assert!(Plan::new(&Solo, Reduction::Deterministic { shards: 0 }).is_err());
    }
}
