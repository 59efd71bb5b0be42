//! The training of several tasks with any balancer.

mod memory;
mod steps;

use crate::{Affinity, Balance, Conflicts, Error, Result, Sampling, Task, TaskMix};
use steps::Steps;
use tl_nn::{Ctx, Metrics, Module, Tensor, TrainReport, Trainer};

/// Trains a model on several tasks.
///
/// A loss function gives the losses of all tasks for a batch, `None` for a task
/// without a label in it: that is the same, bit for bit, as if the task did not
/// exist for this step. Average a task's loss over the samples that have its
/// label ([`Labels`](crate::Labels) does, or
/// [`masked_mean`](crate::masked_mean)).
///
/// ```
/// # use rand::SeedableRng;
/// use tl_multitask::{Balance, GradientBalancer, HardSharing, MultiTask, Task};
/// use tl_nn::{Act, Adam, CrossEntropy, Linear, Optimizer, Reduction, Sequential, Tensor, Trainer, loss};
/// # fn main() -> tl_multitask::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let iris = tl_data::samples::iris();
/// let (x, width) = (iris.features().narrow(1, 0, 3)?, iris.features().narrow(1, 3, 1)?);
/// let labels = iris.labels()?.into();
/// let trunk = Sequential::new().push(Linear::new(3, 16, &mut rng)).push(Act::Relu);
/// let heads = vec![Linear::new(16, 3, &mut rng), Linear::new(16, 1, &mut rng)];
/// let mut net = HardSharing { trunk, heads };
/// let tasks = [Task::classification("species"), Task::regression("petal width")];
/// let multi = MultiTask::new(&tasks, Balance::Gradients(GradientBalancer::PcGrad));
/// let report = multi.fit(
///     Trainer::new(Optimizer::new(Adam::new(0.02)), 20),
///     &mut net,
///     |_| [Ok::<_, tl_nn::Error>(())],
///     |net, (), cx| {
///         let out = net.forward_all(&x, cx)?;
///         let species = CrossEntropy::new().loss(&out[0], &labels)?;
///         Ok(vec![Some(species), Some(loss::mse(&out[1], &width, Reduction::Mean)?)])
///     },
/// )?;
/// let first = &report.train.history.records[0].train;
/// assert!(report.train.history.records[19].train["loss.species"] < first["loss.species"]);
/// println!("{}", report.conflicts);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MultiTask {
    tasks: Vec<Task>,
    balance: Balance,
    scale_lr: f64,
    watch: Option<u64>,
    affinity: Option<(u64, f32)>,
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The training; the history has `loss.NAME` and `loss.weight.NAME` for each
    /// task: its loss, and what that weighed.
    pub train: TrainReport,
    /// How the gradients of each pair lay to each other, epoch by epoch and layer
    /// by layer: for methods that need gradients of every step, for others of
    /// those asked for with [`diagnose_every`](MultiTask::diagnose_every).
    pub conflicts: Conflicts,
    /// Which task helped which, if asked for with
    /// [`affinity_every`](MultiTask::affinity_every).
    pub affinity: Option<Affinity>,
}

impl MultiTask {
    /// These tasks, in the order in which the loss function gives their losses.
    pub fn new(tasks: &[Task], balance: Balance) -> Self {
        Self { tasks: tasks.to_vec(), balance, scale_lr: 0.01, watch: None, affinity: None }
    }

    /// The rate at which the learned scales of uncertainty and IMTL-L move, by an
    /// Adam of their own without weight decay. Default 0.01.
    #[must_use]
    pub fn scale_lr(mut self, lr: f64) -> Self {
        self.scale_lr = lr;
        self
    }

    /// Measures conflicts at every `steps`-th step, also for methods that do not
    /// need gradients: a backward pass more for each task then.
    #[must_use]
    pub fn diagnose_every(mut self, steps: u64) -> Self {
        self.watch = Some(steps);
        self
    }

    /// Measures [task affinity](crate::task_affinity) at every `steps`-th step,
    /// with steps of rate `lr` ahead: take that of the optimiser. `T + 1` more
    /// forward and `T` more backward passes then.
    #[must_use]
    pub fn affinity_every(mut self, steps: u64, lr: f32) -> Self {
        self.affinity = Some((steps, lr));
        self
    }

    fn check(&self, alone: bool) -> Result<()> {
        self.balance.check(&self.tasks, alone)?;
        let wrong = |name, got: String, expected: &str| {
            Err(Error::argument("multi-task", name, got, expected))
        };
        if !(self.scale_lr.is_finite() && self.scale_lr > 0.0) {
            return wrong("scale_lr", self.scale_lr.to_string(), "a rate above 0, such as 0.01");
        }
        if self.watch == Some(0) || matches!(self.affinity, Some((0, _))) {
            return wrong("steps", "0".into(), "every step (1) or fewer");
        }
        match self.affinity {
            Some((_, lr)) if !(lr.is_finite() && lr > 0.0) => {
                wrong("affinity's lr", lr.to_string(), "a rate above 0, that of the optimiser")
            }
            Some(_) if alone => {
                let expected = "`Sampling::Together`: a step ahead is judged by all tasks' losses";
                wrong("affinity_every", "one task a step".into(), expected)
            }
            _ => Ok(()),
        }
    }

    /// Trains `model` on the batches of `data(epoch)`.
    ///
    /// # Errors
    /// A method or settings that do not fit the tasks, before anything is
    /// trained; a method that compares gradients on a model whose tasks share no
    /// trainable parameter, at its first step; those of the trainer and the
    /// losses.
    pub fn fit<M, B, D, I, E, F>(
        &self,
        trainer: Trainer<'_>,
        model: &mut M,
        data: D,
        losses: F,
    ) -> Result<Trained>
    where
        M: Module,
        D: FnMut(usize) -> I,
        I: IntoIterator<Item = Result<B, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: FnMut(&M, &B, &mut Ctx) -> tl_nn::Result<Vec<Option<Tensor>>>,
    {
        self.check(false)?;
        self.run(trainer, model, data, losses, |_: &M| Ok(None))
    }

    /// As [`fit`](Self::fit), with metrics of the model after every epoch, for
    /// early stopping. Measure them on data that is not the test set.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); those of `validate`.
    pub fn fit_validated<M, B, D, I, E, F>(
        &self,
        trainer: Trainer<'_>,
        model: &mut M,
        data: D,
        losses: F,
        mut validate: impl FnMut(&M) -> tl_nn::Result<Metrics>,
    ) -> Result<Trained>
    where
        M: Module,
        D: FnMut(usize) -> I,
        I: IntoIterator<Item = Result<B, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: FnMut(&M, &B, &mut Ctx) -> tl_nn::Result<Vec<Option<Tensor>>>,
    {
        self.check(false)?;
        self.run(trainer, model, data, losses, |m: &M| validate(m).map(Some))
    }

    /// Trains on tasks with data sets of their own: `loss(model, task, batch, cx)`
    /// is the loss of one task on a batch of its data.
    ///
    /// ```
    /// # use rand::SeedableRng;
    /// use tl_data::{Batching, samples};
    /// use tl_multitask::{Balance, HardSharing, MultiTask, Sampling, Task, TaskMix};
    /// use tl_nn::{Adam, CrossEntropy, Linear, Optimizer, Trainer};
    /// # fn main() -> tl_multitask::Result<()> {
    /// # let rng = &mut rand_chacha::ChaCha8Rng::seed_from_u64(0);
    /// let (mnist, uci) = (samples::mnist_8x8().0, samples::digits());
    /// let loaders = [
    ///     mnist.batches(Batching::new(100).shuffled(1))?,
    ///     uci.batches(Batching::new(100).shuffled(2))?,
    /// ];
    /// let mix = loaders.iter().fold(TaskMix::new(Sampling::Temperature(2.0), 1, 0), |mix, l| {
    ///     mix.task(l.len(), move |pass| l.epoch(pass))
    /// });
    /// let heads = vec![Linear::new(32, 10, rng), Linear::new(32, 10, rng)];
    /// let mut net = HardSharing { trunk: Linear::new(64, 32, rng), heads };
    /// let tasks = [Task::classification("mnist"), Task::classification("uci")];
    /// MultiTask::new(&tasks, Balance::equal()).fit_mixed(
    ///     Trainer::new(Optimizer::new(Adam::new(1e-3)), 1),
    ///     &mut net,
    ///     &mix,
    ///     |net, task, batch, cx| {
    ///         let x = batch.features.flatten(1, -1)?;
    ///         let labels = batch.labels().map_err(tl_nn::Error::other)?;
    ///         Ok(CrossEntropy::new().loss(&net.forward_task(task, &x, cx)?, labels)?)
    ///     },
    /// )?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`fit`](Self::fit); a mixture of another number of tasks; a method that
    /// compares tasks where every step has only one.
    pub fn fit_mixed<'d, M, B: 'd>(
        &self,
        trainer: Trainer<'_>,
        model: &mut M,
        mix: &TaskMix<'d, B>,
        mut loss: impl FnMut(&M, usize, &B, &mut Ctx) -> tl_nn::Result<Tensor>,
    ) -> Result<Trained>
    where
        M: Module,
    {
        self.check(mix.sampling() != Sampling::Together)?;
        mix.check()?;
        if mix.tasks() != self.tasks.len() {
            let expected = format!("{}, one for each task", self.tasks.len());
            return Err(Error::argument("multi-task", "data sets", mix.tasks(), expected));
        }
        let losses = |model: &M, batches: &Vec<Option<B>>, cx: &mut Ctx| {
            let mut losses = Vec::with_capacity(batches.len());
            for (task, batch) in batches.iter().enumerate() {
                let batch = batch.as_ref();
                losses.push(batch.map(|batch| loss(model, task, batch, cx)).transpose()?);
            }
            Ok(losses)
        };
        self.run(trainer, model, |epoch| mix.epoch(epoch), losses, |_: &M| Ok(None))
    }

    fn run<M, B, D, I, E, F, V>(
        &self,
        trainer: Trainer<'_>,
        model: &mut M,
        data: D,
        losses: F,
        validate: V,
    ) -> Result<Trained>
    where
        M: Module,
        D: FnMut(usize) -> I,
        I: IntoIterator<Item = Result<B, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
        F: FnMut(&M, &B, &mut Ctx) -> tl_nn::Result<Vec<Option<Tensor>>>,
        V: FnMut(&M) -> tl_nn::Result<Option<Metrics>>,
    {
        let mut steps = Steps::new(self, losses, validate);
        let train = trainer.run(model, data, &mut steps)?;
        let memory = steps.into_memory();
        let tasks = self.tasks.iter().map(|t| t.name.clone()).collect();
        Ok(Trained {
            train,
            conflicts: Conflicts { tasks, epochs: memory.seen },
            affinity: self.affinity.map(|_| memory.affinity),
        })
    }
}
