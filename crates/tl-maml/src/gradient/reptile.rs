//! Reptile.

use super::{TaskGradient, mean_gradient, task::follow_buffers};
use crate::{Episodes, Error, Predict, Protocol, Result, Task};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tl_data::{Batch, Dataset, Targets};
use tl_nn::{
    Adam, Ctx, Forward, Gradients, Losses, Module, ModuleExt, Objective, Optimizer, Tensor,
    TrainReport, Trainer,
};

/// Reptile (Nichol et al. 2018): train on a task for some steps to weights `W`,
/// then move the initialisation towards them, `φ ← φ + ε mean(W - φ)`. No
/// second derivatives, and the inner loop may be any optimiser.
///
/// The outer "gradient" is `φ - mean(W)`, so `ε` is the rate of the trainer's
/// optimiser: `Sgd::new(1.0)` with a linear schedule to 0 is the paper's
/// setting. Inner training uses support and query together, as in the paper.
/// With one inner step it is joint training; take several. Each task begins
/// with fresh moments of the inner optimiser (the authors' code carries them
/// on), so tasks do not depend on one another.
#[derive(Clone, Debug)]
pub struct Reptile {
    /// The inner optimiser. Default: Adam with rate 1e-3 and `β₁ = 0`.
    pub inner: Optimizer,
    /// Inner steps in training. Default 5.
    pub steps: usize,
    /// Samples of an inner step. Default 10.
    pub batch: usize,
    /// Inner steps when it is tested. Default 50.
    pub test_steps: usize,
}

impl Default for Reptile {
    fn default() -> Self {
        let inner = Optimizer::new(Adam { beta1: 0.0, ..Adam::new(1e-3) });
        Self { inner, steps: 5, batch: 10, test_steps: 50 }
    }
}

impl Reptile {
    /// The settings of the paper's Omniglot runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of `model` trained on some samples; nothing else changes.
    ///
    /// # Errors
    /// Those of loss and optimiser; a batch of no samples.
    pub fn adapted<M, F>(&self, model: &M, samples: &Batch, steps: usize, loss: F) -> Result<M>
    where
        M: Module,
        F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor>,
    {
        Ok(self.run(model, samples, steps, 0, &loss)?.0)
    }

    fn run<M, F>(
        &self,
        model: &M,
        samples: &Batch,
        steps: usize,
        seed: u64,
        loss: &F,
    ) -> Result<(M, f32)>
    where
        M: Module,
        F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor>,
    {
        if self.batch == 0 || samples.is_empty() {
            let got = (self.batch, samples.len());
            return Err(Error::argument("reptile", "(batch, samples)", got, "at least 1 of each"));
        }
        let data = dataset(samples)?;
        let mut fast = model.clone();
        let mut optimizer = self.inner.clone();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut order: Vec<usize> = Vec::new();
        let mut last = 0.0;
        for step in 0..steps {
            while order.len() < self.batch.min(samples.len()) {
                let mut more: Vec<usize> = (0..samples.len()).collect();
                more.shuffle(&mut rng);
                order.extend(more);
            }
            let rows: Vec<usize> = order.drain(..self.batch.min(samples.len())).collect();
            let mut cx = Ctx::train(seed.wrapping_add(step as u64));
            let value = loss(&fast, &Batch::gather(&data, rows)?, &mut cx)?;
            let gradients = value.backward()?;
            let _ = optimizer.step(&mut fast, &gradients)?;
            fast.apply(cx.take_updates())?;
            last = value.item()?;
        }
        Ok((fast, last))
    }

    /// Meta-trains `model`; see [`Maml::fit`](crate::Maml::fit).
    ///
    /// # Errors
    /// Those of the trainer, the tasks and the loss; settings of 0.
    pub fn fit<M, F>(
        &self,
        trainer: Trainer<'_>,
        model: &mut M,
        episodes: Episodes<'_>,
        loss: F,
    ) -> Result<TrainReport>
    where
        M: Module,
        F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor> + Sync,
    {
        if self.steps == 0 {
            return Err(Error::argument("reptile", "steps", 0, "at least 1, better 5 or more"));
        }
        let mut objective = Towards { reptile: self, loss };
        Ok(trainer.run(model, |epoch| episodes.epoch(epoch), &mut objective)?)
    }

    /// What [`evaluate`](crate::evaluate) tests: before and after
    /// [`test_steps`](Self::test_steps) steps on the support set.
    pub fn predictor<'a, M, F>(&'a self, model: &'a M, loss: F) -> ReptilePredictor<'a, M, F> {
        ReptilePredictor { reptile: self, model, loss }
    }
}

/// The samples as a data set to draw from.
fn dataset(samples: &Batch) -> Result<Dataset> {
    let features = samples.features.clone();
    Ok(match &samples.targets {
        Targets::Classes { labels, names } => {
            Dataset::classification(features, labels.as_slice().to_vec(), names.iter().cloned())?
        }
        Targets::Values(values) => Dataset::regression(features, values.clone())?,
        _ => Dataset::unlabelled(features)?,
    })
}

/// Support and query as one.
fn together(task: &Task) -> Result<Batch> {
    let all = dataset(&task.support)?.concat(&dataset(&task.query)?)?;
    Ok(Batch::gather(&all, (0..all.len()).collect())?)
}

struct Towards<'a, F> {
    reptile: &'a Reptile,
    loss: F,
}

impl<M, F> Objective<M, Vec<Task>> for Towards<'_, F>
where
    M: Module,
    F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor> + Sync,
{
    fn loss(&mut self, model: &M, tasks: &Vec<Task>, cx: &mut Ctx) -> tl_nn::Result<Losses> {
        let mut sum = Tensor::scalar(0.0);
        for task in tasks {
            sum = sum.add(&(self.loss)(model, &together(task)?, cx)?)?;
        }
        Ok(sum.mul_scalar(1.0 / tasks.len().max(1) as f32).into())
    }

    fn gradients(
        &mut self,
        model: &M,
        tasks: &Vec<Task>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<(Losses, Gradients)> {
        let part = 1.0 / tasks.len() as f32;
        Ok(mean_gradient(model, tasks, cx, |task, seed| {
            let samples = together(task)?;
            let (fast, loss) =
                self.reptile.run(model, &samples, self.reptile.steps, seed, &self.loss)?;
            let mut gradients = Vec::new();
            for (from, to) in model.trainable().into_iter().zip(fast.trainable()) {
                gradients.push(Some(from.detach().sub(&to.detach())?));
            }
            Ok(TaskGradient { loss, gradients, updates: follow_buffers(model, &fast, part)? })
        })?)
    }
}

/// See [`Reptile::predictor`].
#[derive(Debug)]
pub struct ReptilePredictor<'a, M, F> {
    reptile: &'a Reptile,
    model: &'a M,
    loss: F,
}

impl<M, F> Predict for ReptilePredictor<'_, M, F>
where
    M: Forward,
    F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor> + Sync,
{
    fn predict(&self, task: &Task, protocol: Protocol) -> Result<Vec<(usize, Tensor)>> {
        let steps = self.reptile.test_steps;
        let before = self.model.forward(&task.query.features, &mut protocol.context())?;
        let fast = self.reptile.adapted(self.model, &task.support, steps, &self.loss)?;
        let after = fast.forward(&task.query.features, &mut protocol.context())?;
        Ok(vec![(0, before.detach()), (steps, after.detach())])
    }
}
