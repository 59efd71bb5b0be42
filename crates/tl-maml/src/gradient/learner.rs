//! What meta-training trains.

use tl_nn::{Buffer, Module, ModuleExt, Param, Tensor, Update, module};

use crate::Result;
use tl_nn::Ctx;

/// A model with all that the outer loop learns beside its weights. Made by
/// [`Maml::learner`](crate::Maml::learner); `model` is the initialisation, to
/// be saved, adapted or handed on as it is.
#[derive(Clone, Debug)]
pub struct Learner<M> {
    /// The initialisation.
    pub model: M,
    /// Learned inner rates `[rows][weights]`: one row for all steps or one for
    /// each; none if they are fixed.
    pub rates: Vec<Vec<Param>>,
    /// Matrices of [`precondition`](crate::precondition) for each weight; none
    /// without meta-curvature.
    pub curvature: Vec<Vec<Param>>,
    /// The buffers of the model after each number of inner steps: statistics of
    /// normalisation per step (Antoniou et al. 2019, section 4). Rows are the
    /// steps from 0 to the last.
    pub statistics: Vec<Vec<Buffer>>,
}
module!(impl<M: Module> Learner<M> { model, rates, curvature, statistics });

impl<M: Module> Learner<M> {
    fn row(&self, step: usize) -> Option<&Vec<Buffer>> {
        self.statistics.get(step).or(self.statistics.last())
    }

    /// Gives a fast model the statistics of a step.
    pub(super) fn enter_step(&self, fast: &mut M, step: usize) -> Result<()> {
        let Some(row) = self.row(step) else { return Ok(()) };
        let mut numbers = row.iter();
        fast.for_each_buffer(|_, buffer| match numbers.next() {
            Some(own) => Ok(buffer.set_data(own.tensor())?),
            None => Ok(()),
        })?;
        Ok(())
    }

    /// Takes over what a pass of the fast model recorded, as one of `tasks`.
    pub(super) fn leave_step(
        &self,
        fast: &mut M,
        step: usize,
        recorded: Vec<Update>,
        into: &mut Ctx,
        part: f32,
    ) -> Result<()> {
        let Some(row) = self.row(step) else { return Ok(()) };
        if recorded.is_empty() {
            return Ok(());
        }
        fast.apply(recorded)?;
        for (own, (_, moved)) in row.iter().zip(fast.buffers()) {
            let change: Tensor = moved.tensor().sub(own.tensor())?.mul_scalar(part);
            into.update(own, move |now| Ok(now.add(&change)?));
        }
        Ok(())
    }
}
