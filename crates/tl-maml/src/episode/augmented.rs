//! Tasks with changed samples.

use super::{Task, TaskSource, stream};
use crate::Result;
use tl_data::transform::Transform;

/// The tasks of a source with every sample changed by a
/// [`Transform`](tl_data::transform::Transform) such as small shifts and turns,
/// support and query alike: for meta-training on few drawings. Labels stay. Other
/// changes for each task, the same for the same seed and number.
///
/// ```
/// use tl_data::transform::RandomAffine;
/// use tl_maml::{Augmented, TaskSource, Tasks};
/// # fn main() -> tl_maml::Result<()> {
/// let tasks = Tasks::from_labels(&tl_data::samples::digits())?;
/// let shifted = Augmented::new(&tasks, RandomAffine::new().translate(0.1));
/// let (plain, moved) = (tasks.task(0, 3)?, shifted.task(0, 3)?);
/// assert_eq!(plain.support.indices, moved.support.indices);
/// assert_ne!(plain.support.features.to_vec(), moved.support.features.to_vec());
/// assert_eq!(moved.query.features.to_vec(), shifted.task(0, 3)?.query.features.to_vec());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct Augmented<'a, T> {
    source: &'a dyn TaskSource,
    transform: T,
}

impl<T> std::fmt::Debug for Augmented<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Augmented").finish_non_exhaustive()
    }
}

impl<'a, T: Transform> Augmented<'a, T> {
    /// Changes what `source` gives.
    pub fn new(source: &'a dyn TaskSource, transform: T) -> Self {
        Self { source, transform }
    }
}

impl<T: Transform> TaskSource for Augmented<'_, T> {
    fn task(&self, seed: u64, number: u64) -> Result<Task> {
        let Task { mut support, mut query } = self.source.task(seed, number)?;
        // Not the numbers that drew the task.
        let rng = &mut stream(!seed, number);
        support.features = self.transform.apply(&support.features, rng)?;
        query.features = self.transform.apply(&query.features, rng)?;
        Ok(Task { support, query })
    }
}
