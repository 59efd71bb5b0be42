//! How much memory meta-training will take.

use crate::{Learner, Maml, Result, Task, parallel};
use serde::{Deserialize, Serialize};
use std::fmt;
use tl_data::Batch;
use tl_nn::{Ctx, Module, ModuleExt, Tensor};
use tl_tensor::peak_bytes;

/// What meta-training will take beside model, data and the state of the outer
/// optimiser, in bytes of tensor storage. From
/// [`Maml::forecast_memory`](crate::Maml::forecast_memory).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryForecast {
    /// The graph of one task at its largest.
    pub one_task: usize,
    /// What each inner step adds to it.
    pub per_step: usize,
    /// Tasks that are worked on at the same time: as many as there are threads,
    /// or fewer if the meta-batch is smaller. Whatever lies beyond is done one
    /// after the other.
    pub at_once: usize,
    /// The gradients of everything that the outer loop learns, once.
    pub gradients: usize,
}

impl MemoryForecast {
    /// The peak: the graphs of the tasks at once, the sum of the gradients, and
    /// the new sum while a task is added.
    pub fn peak(&self) -> usize {
        self.at_once * self.one_task + 2 * self.gradients
    }
}

/// One line.
impl fmt::Display for MemoryForecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: usize| bytes as f64 / 1e6;
        write!(
            f,
            "{:.1} MB: {} tasks at once of {:.1} MB ({:.1} MB an inner step), gradients {:.1} MB",
            mb(self.peak()),
            self.at_once,
            mb(self.one_task),
            mb(self.per_step),
            mb(self.gradients),
        )
    }
}

impl Maml {
    /// What [`fit`](Self::fit) will take with meta-batches of so many tasks like
    /// this one, on the threads of the current pool. One and two inner steps are
    /// tried on the task and measured; more are extrapolated, as each adds the
    /// same. Nothing else should compute meanwhile; compare with
    /// [`peak_bytes`](crate::peak_bytes) of the run itself.
    ///
    /// ```
    /// # use rand::SeedableRng;
    /// use tl_maml::{Curves, Maml, TaskSource, mse};
    /// # fn main() -> tl_maml::Result<()> {
    /// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
    /// let maml = Maml::new(50, 0.01);
    /// let learner = maml.learner(tl_nn::Linear::new(1, 40, &mut rng))?;
    /// # let loss = |m: &tl_nn::Linear, b: &tl_data::Batch, cx: &mut tl_nn::Ctx| {
    /// #     use tl_nn::Forward;
    /// #     Ok(m.forward(&b.features, cx)?.square().mean_all())
    /// # };
    /// let task = Curves::sinusoid().task(0, 0)?;
    /// let forecast = maml.forecast_memory(&learner, &task, loss, 25)?;
    /// println!("{forecast}");
    /// assert!(forecast.one_task > 40 * forecast.per_step);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the loss; a setting out of its range.
    pub fn forecast_memory<M, F>(
        &self,
        learner: &Learner<M>,
        task: &Task,
        loss: F,
        meta_batch: usize,
    ) -> Result<MemoryForecast>
    where
        M: Module,
        F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor> + Sync,
    {
        let of = |steps: usize| -> Result<usize> {
            let maml = self.clone().with_steps(steps);
            let one = || maml.task_gradient(learner, task, &loss, 1.0, (0, 1)).map(drop);
            let (result, bytes) = peak_bytes(one);
            result.map(|()| bytes)
        };
        // The first pass may make what stays, such as packed weights.
        let _ = of(self.steps.min(1))?;
        let (first, second) = (of(self.steps.min(1))?, of(2)?);
        let per_step = second.saturating_sub(first);
        let one_task = first + per_step * self.steps.saturating_sub(1);
        let numbers: usize = learner.trainable().iter().map(|w| w.numel()).sum();
        let gradients = numbers * size_of::<f32>();
        Ok(MemoryForecast { one_task, per_step, at_once: parallel::at_once(meta_batch), gradients })
    }
}
