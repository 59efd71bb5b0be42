//! Tasks, and where they come from.

mod augmented;
mod class;
mod curves;
mod labels;

pub use augmented::Augmented;
pub use curves::{Curves, Family};
pub use labels::{Tasks, split_classes};

use crate::{Error, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_data::Batch;

/// One task: a few samples to learn from and others to be tested on.
#[derive(Clone, Debug)]
pub struct Task {
    /// What is adapted to.
    pub support: Batch,
    /// What is tested on; no sample of the support is among them.
    pub query: Batch,
}

impl Task {
    /// The number of classes, 0 for regression.
    pub fn ways(&self) -> usize {
        match &self.support.targets {
            tl_data::Targets::Classes { names, .. } => names.len(),
            _ => 0,
        }
    }
}

/// A family of tasks.
///
/// A task depends on nothing but the seed and its number, so tasks can be drawn
/// in any order by any thread, and again.
pub trait TaskSource: Sync {
    /// Task `number` of the stream that `seed` names.
    ///
    /// # Errors
    /// The source cannot give such tasks.
    fn task(&self, seed: u64, number: u64) -> Result<Task>;
}

/// The random numbers of one task, or of one view of all samples.
pub(crate) fn stream(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}

/// Meta-batches of tasks, epoch by epoch: what a
/// [`Trainer`](tl_nn::Trainer) is fed.
///
/// ```
/// use tl_maml::{Curves, Episodes};
/// # fn main() -> tl_maml::Result<()> {
/// let source = Curves::sinusoid();
/// let episodes = Episodes::new(&source, 25, 4).seed(1);
/// let batches = episodes.epoch(0).collect::<tl_maml::Result<Vec<_>>>()?;
/// assert_eq!((batches.len(), batches[0].len()), (4, 25));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Episodes<'a> {
    source: &'a dyn TaskSource,
    tasks: usize,
    batches: usize,
    seed: u64,
}

impl std::fmt::Debug for Episodes<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Episodes")
            .field("tasks", &self.tasks)
            .field("batches", &self.batches)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl<'a> Episodes<'a> {
    /// `tasks` tasks in a meta-batch, `batches` meta-batches (steps of the
    /// outer optimiser) in an epoch. Seed 0.
    pub fn new(source: &'a dyn TaskSource, tasks: usize, batches: usize) -> Self {
        Self { source, tasks, batches, seed: 0 }
    }

    /// Sets what the tasks are drawn from. Evaluate with another seed than that
    /// of training.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The meta-batches of an epoch: other tasks every time, the same for the
    /// same epoch.
    pub fn epoch(self, epoch: usize) -> impl ExactSizeIterator<Item = Result<Vec<Task>>> + 'a {
        (0..self.batches).map(move |batch| self.batch(epoch, batch))
    }

    fn batch(&self, epoch: usize, batch: usize) -> Result<Vec<Task>> {
        if self.tasks == 0 {
            return Err(Error::argument("episodes", "tasks", 0, "at least 1 in a meta-batch"));
        }
        let first = ((epoch * self.batches + batch) * self.tasks) as u64;
        (first..first + self.tasks as u64).map(|n| self.source.task(self.seed, n)).collect()
    }
}
