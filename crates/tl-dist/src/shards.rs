//! A global batch, of which a rank holds its micro-shards.

use crate::{Error, Plan, Result};
use std::ops::Range;

/// The micro-shards of one global batch that this rank works on.
///
/// Micro-shards without a sample, as in a last batch of fewer samples than
/// shards, are left out and count nothing.
#[derive(Clone, Debug)]
pub struct Shards<B> {
    /// Samples of each micro-shard, also of those of other ranks.
    sizes: Vec<usize>,
    own: Vec<(usize, B)>,
}

impl<B> Shards<B> {
    /// Cuts a global batch of `samples`; `make` gives the samples of a range,
    /// and is asked for this rank's micro-shards only.
    ///
    /// # Errors
    /// No sample; those of `make`.
    ///
    /// ```
    /// use tl_dist::{Error, Plan, Reduction, Shards, Solo};
    /// let plan = Plan::new(&Solo, Reduction::Deterministic { shards: 4 })?;
    /// let batch = Shards::cut(&plan, 10, |range| Ok::<_, Error>(range))?;
    /// assert_eq!(batch.own().map(|(_, part)| part.clone()).collect::<Vec<_>>(), [0..3, 3..6, 6..8, 8..10]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn cut<E: From<Error>>(
        plan: &Plan,
        samples: usize,
        mut make: impl FnMut(Range<usize>) -> Result<B, E>,
    ) -> Result<Self, E> {
        if samples == 0 {
            return Err(Error::argument("shards", "samples", 0, "at least one").into());
        }
        let sizes = (0..plan.shards()).map(|s| plan.samples(samples, s).len()).collect();
        let mut own = Vec::with_capacity(plan.own().len());
        for shard in plan.own() {
            let range = plan.samples(samples, shard);
            if !range.is_empty() {
                own.push((shard, make(range)?));
            }
        }
        Ok(Self { sizes, own })
    }

    /// Samples of the global batch, on all ranks together.
    pub fn samples(&self) -> usize {
        self.sizes.iter().sum()
    }

    /// The micro-shards of this rank that have samples, with their numbers.
    pub fn own(&self) -> impl ExactSizeIterator<Item = (usize, &B)> {
        self.own.iter().map(|(shard, batch)| (*shard, batch))
    }

    /// The part of the mean over the global batch that a micro-shard is.
    pub fn weight(&self, shard: usize) -> f32 {
        let size = self.sizes.get(shard).copied().unwrap_or(0);
        size as f32 / self.samples() as f32
    }

    /// Which micro-shards have samples.
    pub(crate) fn there(&self) -> Vec<bool> {
        self.sizes.iter().map(|&size| size > 0).collect()
    }

    /// The batch of a micro-shard of this rank.
    pub(crate) fn get(&self, shard: usize) -> Option<&B> {
        self.own.iter().find(|(own, _)| *own == shard).map(|(_, batch)| batch)
    }
}
