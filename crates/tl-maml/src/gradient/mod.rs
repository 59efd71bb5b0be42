//! Methods that learn where gradient descent begins.

mod curvature;
mod imaml;
mod inner;
mod learner;
mod maml;
mod reptile;
mod task;
mod unroll;

pub use curvature::precondition;
pub use imaml::{IMaml, IMamlPredictor, conjugate_gradient};
pub use inner::{InnerLoop, Order, descend, inner_gradients, step_weights};
pub use learner::Learner;
pub use maml::{Adapt, LearnedRates, Maml};
pub use reptile::{Reptile, ReptilePredictor};
pub use unroll::MamlPredictor;

use crate::{Result, parallel};
use rand::RngCore;
use tl_nn::{Ctx, Gradients, Losses, Module, ModuleExt, Tensor, Update};

/// What one task adds to the step of the outer optimiser.
pub(crate) struct TaskGradient {
    pub(crate) loss: f32,
    /// For each trainable parameter of the outer model; none if it has none.
    pub(crate) gradients: Vec<Option<Tensor>>,
    pub(crate) updates: Vec<Update>,
}

impl TaskGradient {
    /// Of a loss with its graph.
    pub(crate) fn of<M: Module>(model: &M, loss: &Tensor, updates: Vec<Update>) -> Result<Self> {
        let mut all = loss.backward()?;
        let gradients = model.trainable().into_iter().map(|w| all.remove(w)).collect();
        Ok(Self { loss: loss.item()?, gradients, updates })
    }

    fn add(&mut self, more: Self) -> Result<()> {
        self.loss += more.loss;
        self.updates.extend(more.updates);
        for (sum, gradient) in self.gradients.iter_mut().zip(more.gradients) {
            *sum = match (sum.take(), gradient) {
                (Some(sum), Some(gradient)) => Some(sum.add(&gradient)?),
                (sum, gradient) => sum.or(gradient),
            };
        }
        Ok(())
    }
}

/// The mean over tasks, summed in the order of the tasks, so the same bits for
/// any number of threads. A gradient is added as soon as those of the tasks
/// before it are there: memory does not grow with the number of tasks.
pub(crate) fn mean_gradient<M: Module, T: Sync>(
    model: &M,
    tasks: &[T],
    cx: &mut Ctx,
    of_task: impl Fn(&T, u64) -> Result<TaskGradient> + Sync,
) -> Result<(Losses, Gradients)> {
    let seed = cx.rng().next_u64();
    let trainable = model.trainable();
    let start =
        TaskGradient { loss: 0.0, gradients: vec![None; trainable.len()], updates: Vec::new() };
    let sum = parallel::fold(
        tasks,
        start,
        |number, task| of_task(task, task_seed(seed, number as u64)),
        TaskGradient::add,
    )?;
    cx.record(sum.updates);
    let part = 1.0 / tasks.len().max(1) as f32;
    let mut gradients = Gradients::default();
    for (variable, sum) in trainable.into_iter().zip(sum.gradients) {
        if let Some(sum) = sum {
            gradients.insert(variable, sum.mul_scalar(part));
        }
    }
    Ok((Tensor::scalar(sum.loss * part).into(), gradients))
}

fn task_seed(seed: u64, number: u64) -> u64 {
    seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
