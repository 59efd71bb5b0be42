//! Methods that learn where gradient descent begins.

mod curvature;
mod imaml;
mod inner;
mod learner;
mod maml;
mod reptile;
mod task;

pub use curvature::precondition;
pub use imaml::{IMaml, IMamlPredictor, conjugate_gradient};
pub use inner::{Order, descend, inner_gradients};
pub use learner::Learner;
pub use maml::{Adapt, LearnedRates, Maml, MamlPredictor};
pub use reptile::{Reptile, ReptilePredictor};

use crate::{Result, parallel};
use rand::RngCore;
use tl_nn::{Ctx, Gradients, Losses, Module, ModuleExt, Tensor, Update};

/// What one task adds to the step of the outer optimiser.
struct TaskGradient {
    loss: f32,
    /// For each trainable parameter of the outer model; none if it has none.
    gradients: Vec<Option<Tensor>>,
    updates: Vec<Update>,
}

/// The mean over tasks, summed in the order of the tasks, so the same bits for
/// any number of threads. A few tasks are in memory at a time.
fn mean_gradient<M: Module, T: Sync>(
    model: &M,
    tasks: &[T],
    cx: &mut Ctx,
    of_task: impl Fn(&T, u64) -> Result<TaskGradient> + Sync,
) -> Result<(Losses, Gradients)> {
    let seed = cx.rng().next_u64();
    let trainable = model.trainable();
    let mut sums: Vec<Option<Tensor>> = vec![None; trainable.len()];
    let mut loss = 0.0;
    for (chunk, few) in tasks.chunks(parallel::AT_ONCE).enumerate() {
        let first = (chunk * parallel::AT_ONCE) as u64;
        for part in parallel::map(few, |i, task| of_task(task, task_seed(seed, first + i as u64)))?
        {
            loss += part.loss;
            cx.record(part.updates);
            for (sum, gradient) in sums.iter_mut().zip(part.gradients) {
                *sum = match (sum.take(), gradient) {
                    (Some(sum), Some(gradient)) => Some(sum.add(&gradient)?),
                    (sum, gradient) => sum.or(gradient),
                };
            }
        }
    }
    let part = 1.0 / tasks.len().max(1) as f32;
    let mut gradients = Gradients::default();
    for (variable, sum) in trainable.into_iter().zip(sums) {
        if let Some(sum) = sum {
            gradients.insert(variable, sum.mul_scalar(part));
        }
    }
    Ok((Tensor::scalar(loss * part).into(), gradients))
}

fn task_seed(seed: u64, number: u64) -> u64 {
    seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
