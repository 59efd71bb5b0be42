//! MAML on a model: the inner loop of a task, seen by training and by testing.

use super::{
    InnerLoop, Learner, Maml, Order, TaskGradient, mean_gradient, step_weights, task::support_loss,
};
use crate::{Error, Predict, Protocol, Result, Task};
use tl_data::Batch;
use tl_nn::{Ctx, Forward, Gradients, Losses, Module, Objective, Param, Tensor};

/// How a task is unrolled.
#[derive(Clone, Copy)]
pub(super) struct Pass {
    pub(super) order: Order,
    pub(super) seed: u64,
    /// What the task's statistics weigh.
    pub(super) part: f32,
}

impl Pass {
    /// Nothing is differentiated or recorded.
    pub(super) const AT_TEST: Self = Self { order: Order::First, seed: 0, part: 0.0 };
}

fn tensors(rows: &[Vec<Param>]) -> Vec<Vec<Tensor>> {
    rows.iter().map(|row| row.iter().map(|p| p.tensor().clone()).collect()).collect()
}

impl Maml {
    /// Runs the inner loop, showing the model before it and after each step.
    pub(super) fn unroll<M, F>(
        &self,
        learner: &Learner<M>,
        support: &Batch,
        loss: &F,
        pass: Pass,
        record: &mut Ctx,
        mut see: impl FnMut(usize, &mut M, &mut Ctx) -> Result<()>,
    ) -> Result<()>
    where
        M: Module,
        F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor>,
    {
        let slots = self.slots(&learner.model)?;
        let mut weights = slots.initial(&learner.model);
        let rates = if learner.rates.is_empty() {
            vec![vec![Tensor::scalar(self.rate); weights.len()]]
        } else {
            tensors(&learner.rates)
        };
        let curvature = tensors(&learner.curvature);
        let Self { steps, .. } = *self;
        let inner = InnerLoop { steps, order: pass.order, rates: &rates, curvature: &curvature };
        for step in 0..=steps {
            let mut model = slots.model(&learner.model, &weights)?;
            learner.enter_step(&mut model, step)?;
            see(step, &mut model, record)?;
            if step < steps {
                let seed = pass.seed.wrapping_add(step as u64);
                let (value, recorded) = support_loss(&model, support, loss, seed)?;
                learner.leave_step(&mut model, step, recorded, record, pass.part)?;
                weights = inner.step(step, &weights, &value)?;
            }
        }
        Ok(())
    }

    /// The query loss of a task as the outer loop sees it, with its graph.
    fn query_loss<M, F>(
        &self,
        learner: &Learner<M>,
        task: &Task,
        loss: &F,
        pass: Pass,
        progress: f64,
        record: &mut Ctx,
    ) -> Result<Tensor>
    where
        M: Module,
        F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor>,
    {
        let weights = step_weights(self.steps, progress, self.multi_step);
        let mut total: Option<Tensor> = None;
        self.unroll(learner, &task.support, loss, pass, record, |step, model, record| {
            // Without inner steps it is joint training.
            let weight = match step {
                0 if self.steps == 0 => 1.0,
                0 => 0.0,
                step => weights[step - 1],
            };
            if weight == 0.0 {
                return Ok(());
            }
            let mut cx = Ctx::train(pass.seed.wrapping_sub(1 + step as u64));
            let mut value = loss(model, &task.query, &mut cx)?;
            if weight != 1.0 {
                value = value.mul_scalar(weight as f32);
            }
            learner.leave_step(model, step, cx.take_updates(), record, pass.part)?;
            total = Some(match total.take() {
                Some(sum) => sum.add(&value)?,
                None => value,
            });
            Ok(())
        })?;
        total.ok_or_else(|| Error::argument("maml", "steps", self.steps, "a step that counts"))
    }

    /// How a task is unrolled in training, so far into the run.
    fn pass(&self, progress: f64, seed: u64, tasks: usize) -> Pass {
        let early = progress < self.first_order_until;
        let order = if early { Order::First } else { self.order };
        Pass { order, seed, part: 1.0 / tasks as f32 }
    }

    /// What a task adds to a step of the outer optimiser.
    pub(crate) fn task_gradient<M, F>(
        &self,
        learner: &Learner<M>,
        task: &Task,
        loss: &F,
        progress: f64,
        (seed, tasks): (u64, usize),
    ) -> Result<TaskGradient>
    where
        M: Module,
        F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor>,
    {
        let mut record = Ctx::eval();
        let pass = self.pass(progress, seed, tasks);
        let value = self.query_loss(learner, task, loss, pass, progress, &mut record)?;
        TaskGradient::of(learner, &value, record.take_updates())
    }
}

/// What the outer loop minimises.
pub(super) struct MetaObjective<'a, F> {
    maml: &'a Maml,
    loss: F,
}

impl<'a, F> MetaObjective<'a, F> {
    pub(super) fn new(maml: &'a Maml, loss: F) -> Self {
        Self { maml, loss }
    }
}

impl<M, F> Objective<Learner<M>, Vec<Task>> for MetaObjective<'_, F>
where
    M: Module,
    F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor> + Sync,
{
    fn loss(
        &mut self,
        learner: &Learner<M>,
        tasks: &Vec<Task>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        let progress = cx.progress();
        let mut sum = Tensor::scalar(0.0);
        for task in tasks {
            let pass = self.maml.pass(progress, 0, tasks.len());
            sum = sum.add(&self.maml.query_loss(learner, task, &self.loss, pass, progress, cx)?)?;
        }
        Ok(sum.mul_scalar(1.0 / tasks.len().max(1) as f32).into())
    }

    fn gradients(
        &mut self,
        learner: &Learner<M>,
        tasks: &Vec<Task>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<(Losses, Gradients)> {
        let progress = cx.progress();
        Ok(mean_gradient(learner, tasks, cx, |task, seed| {
            self.maml.task_gradient(learner, task, &self.loss, progress, (seed, tasks.len()))
        })?)
    }
}

/// See [`Maml::predictor`].
#[derive(Clone, Debug)]
pub struct MamlPredictor<'a, M, F> {
    maml: &'a Maml,
    learner: &'a Learner<M>,
    loss: F,
}

impl<'a, M, F> MamlPredictor<'a, M, F> {
    pub(super) fn new(maml: &'a Maml, learner: &'a Learner<M>, loss: F) -> Self {
        Self { maml, learner, loss }
    }
}

impl<M, F> Predict for MamlPredictor<'_, M, F>
where
    M: Forward,
    F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor> + Sync,
{
    fn predict(&self, task: &Task, protocol: Protocol) -> Result<Vec<(usize, Tensor)>> {
        self.maml.check()?;
        let mut outputs = Vec::new();
        let see = |step, model: &mut M, _: &mut Ctx| {
            let query = &task.query.features.detach();
            outputs.push((step, model.forward(query, &mut protocol.context())?.detach()));
            Ok(())
        };
        let Self { maml, learner, loss } = self;
        maml.unroll(learner, &task.support, loss, Pass::AT_TEST, &mut Ctx::eval(), see)?;
        Ok(outputs)
    }
}
