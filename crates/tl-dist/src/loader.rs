//! Batches of a data set, each rank its part.

use crate::{Error, Plan, Result, Shards, rng::mix};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::{fmt, sync::Arc};
use tl_data::{Batch, Batches, Batching, Dataset, Loader, Tensor, transform::Transform};

type Step = dyn Fn(Batch, &mut ChaCha8Rng) -> tl_data::Result<Batch> + Send + Sync;

/// Gives each rank its micro-shards of every global batch.
///
/// The samples and their order are those of a [`Loader`] with the same
/// [`Batching`], whose `batch_size` is that of the global batch: together, the
/// ranks see in an epoch what one process sees. The order is new every epoch,
/// decided by the seed, and the same for any number of ranks. Only the own
/// samples are gathered.
///
/// The last batch of an epoch has what is left, and its micro-shards are
/// smaller or empty; `drop_last` leaves it out. No sample is shown twice to
/// fill it up (as PyTorch's `DistributedSampler` does).
/// ```
/// use tl_data::{Batching, samples};
/// use tl_dist::{Plan, Reduction, ShardedLoader, Solo};
/// # fn main() -> tl_dist::Result<()> {
/// let plan = Plan::new(&Solo, Reduction::Deterministic { shards: 4 })?;
/// let loader = ShardedLoader::new(&samples::digits(), Batching::new(64).shuffled(1), plan)?;
/// for batch in loader.epoch(0) {
///     for (_, part) in batch?.own() {
///         assert!(part.len() <= 16);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ShardedLoader {
    data: Dataset,
    /// The same targets without features: it gives the order.
    order: Loader,
    plan: Plan,
    steps: Vec<Arc<Step>>,
}

impl ShardedLoader {
    /// This rank's part of the batches of `data`.
    ///
    /// # Errors
    /// As [`Loader::new`]; fewer samples in a batch than micro-shards;
    /// `prefetch`, which is not done here.
    pub fn new(data: &Dataset, options: Batching, plan: Plan) -> Result<Self> {
        const WHAT: &str = "sharded loader";
        if options.batch_size < plan.shards() {
            let expected = format!("at least {}, a sample for each micro-shard", plan.shards());
            return Err(Error::argument(WHAT, "batch_size", options.batch_size, expected));
        }
        if options.prefetch > 0 {
            return Err(Error::argument(WHAT, "prefetch", options.prefetch, "0"));
        }
        let order = data.with_features(&Tensor::zeros([data.len(), 0]))?.batches(options)?;
        Ok(Self { data: data.clone(), order, plan, steps: Vec::new() })
    }

    /// Changes the features of every micro-shard. Steps run in the order in
    /// which they are added.
    #[must_use]
    pub fn transform(self, transform: impl Transform + 'static) -> Self {
        self.map(move |mut batch, rng| {
            batch.features = transform.apply(&batch.features, rng)?;
            Ok(batch)
        })
    }

    /// Changes every micro-shard, targets too. The generator depends on seed,
    /// epoch, batch, micro-shard and step alone, not on the ranks.
    #[must_use]
    pub fn map(
        mut self,
        step: impl Fn(Batch, &mut ChaCha8Rng) -> tl_data::Result<Batch> + Send + Sync + 'static,
    ) -> Self {
        self.steps.push(Arc::new(step));
        self
    }

    /// Global batches in an epoch.
    #[expect(clippy::len_without_is_empty, reason = "there is always a batch")]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// This rank's part of all batches of an epoch.
    pub fn epoch(&self, epoch: u64) -> ShardedBatches<'_> {
        ShardedBatches { loader: self, epoch, number: 0, order: self.order.epoch(epoch) }
    }

    fn part(&self, epoch: u64, number: u64, order: &[usize]) -> Result<Shards<Batch>> {
        let mut shard = self.plan.own().start as u64;
        Shards::cut(&self.plan, order.len(), |range| {
            let mut batch = Batch::gather(&self.data, order[range].to_vec())?;
            for (i, step) in self.steps.iter().enumerate() {
                let path = [epoch, number, shard, i as u64];
                let seed = path.into_iter().fold(self.order.options().seed, mix);
                batch = step(batch, &mut ChaCha8Rng::seed_from_u64(seed))?;
            }
            shard += 1;
            Ok(batch)
        })
    }
}

impl fmt::Debug for ShardedLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardedLoader")
            .field("samples", &self.data.len())
            .field("options", self.order.options())
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

/// One rank's part of the batches of one epoch.
#[derive(Debug)]
pub struct ShardedBatches<'a> {
    loader: &'a ShardedLoader,
    epoch: u64,
    number: u64,
    order: Batches,
}

impl Iterator for ShardedBatches<'_> {
    type Item = Result<Shards<Batch>>;

    fn next(&mut self) -> Option<Self::Item> {
        let order = self.order.next()?;
        let number = self.number;
        self.number += 1;
        Some(match order {
            Ok(order) => self.loader.part(self.epoch, number, &order.indices),
            Err(error) => Err(error.into()),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.order.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Collective, Reduction, Threads};

    fn ten() -> Dataset {
        let x = Tensor::arange(0.0, 10.0, 1.0).unwrap().reshape([10, 1]).unwrap();
        Dataset::classification(x, (0..10).map(|i| i % 2).collect(), ["even", "odd"]).unwrap()
    }

    type Seen = Vec<(usize, usize, Vec<usize>, Vec<f32>)>;

    /// Batch, micro-shard, samples and features, of all ranks in order.
    fn seen(ranks: usize, shards: usize, options: &Batching, epoch: u64) -> Seen {
        let of_ranks = Threads::run::<Seen, Error>(ranks, |world| {
            let plan = Plan::new(world, Reduction::Deterministic { shards })?;
            let loader =
                ShardedLoader::new(&ten(), options.clone(), plan)?.map(|mut batch, rng| {
                    let noise = Tensor::randn(*batch.features.shape(), rng);
                    batch.features = batch.features.add(&noise)?;
                    Ok(batch)
                });
            let mut all = Seen::new();
            for (number, batch) in loader.epoch(epoch).enumerate() {
                for (shard, part) in batch?.own() {
                    let x = part.features.to_vec();
                    all.push((number, shard, part.indices.clone(), x));
                }
            }
            assert!(world.rank() < ranks);
            Ok(all)
        });
        let mut all = of_ranks.unwrap().concat();
        all.sort_by_key(|(number, shard, ..)| (*number, *shard));
        all
    }

    #[test]
    fn ranks_share_the_batches_of_one_process() {
        let options = Batching::new(4).shuffled(3);
        let plain = ten().batches(options.clone()).unwrap();
        for epoch in [0, 1, 7] {
            let one = seen(1, 4, &options, epoch);
            for ranks in [2, 3, 4] {
                assert_eq!(seen(ranks, 4, &options, epoch), one);
            }
            for (number, batch) in plain.epoch(epoch).enumerate() {
                let parts = one.iter().filter(|(n, ..)| *n == number);
                let order: Vec<usize> = parts.flat_map(|(.., i, _)| i.clone()).collect();
                assert_eq!(order, batch.unwrap().indices);
            }
        }
        assert_ne!(seen(2, 4, &options, 0), seen(2, 4, &options, 1));
    }

    #[test]
    fn the_last_batch_is_smaller_or_left_out() {
        let options = Batching::new(4).shuffled(3);
        let last: Vec<usize> =
            seen(4, 4, &options, 0).iter().filter(|(n, ..)| *n == 2).map(|s| s.2.len()).collect();
        assert_eq!(last, [1, 1]);
        let dropped = seen(4, 4, &options.drop_last(true), 0);
        assert_eq!(dropped.iter().map(|s| s.0).max(), Some(1));
    }

    #[test]
    fn impossible_options_are_refused() {
        let plan = Plan::new(&crate::Solo, Reduction::Deterministic { shards: 8 }).unwrap();
        let error = ShardedLoader::new(&ten(), Batching::new(4), plan).unwrap_err();
        assert!(error.to_string().contains("at least 8"), "{error}");
        let error = ShardedLoader::new(&ten(), Batching::new(8).prefetch(1), plan).unwrap_err();
        assert!(error.to_string().contains("prefetch"), "{error}");
    }
}
