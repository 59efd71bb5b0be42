//! The training of several tasks with any balancer.

use crate::{
    Error, GradientBalancer, GradientState, Gram, LossBalancer, LossState, Result,
    balance::step_seed, gradient_weights,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tl_nn::{
    Ctx, Gradients, Losses, Module, ModuleExt, Objective, Param, StateDict, Tensor, TrainReport,
    Trainer, Weight, module,
};

/// How several tasks share one step. Changing the method is changing this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// By their losses: one backward pass.
    Losses(LossBalancer),
    /// By learned uncertainty (Kendall et al. 2018): see [`Kind`].
    Uncertainty,
    /// By their gradients on shared weights: a backward pass for each task.
    Gradients(GradientBalancer),
}

impl Balance {
    /// Its name in the literature.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Losses(l) => l.name(),
            Self::Uncertainty => "uncertainty",
            Self::Gradients(g) => g.name(),
        }
    }
}

/// What kind of loss a task has: it decides the form of uncertainty weighting,
/// with `s = ln σ²` learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A squared error: `½ e^(-s) L + ½ s`.
    Regression,
    /// A cross entropy: `e^(-s) L + ½ s`.
    Classification,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its name, for histories and reports.
    pub name: String,
    /// The kind of its loss.
    pub kind: Kind,
}

impl Task {
    /// A task with a cross entropy.
    pub fn classification(name: &str) -> Self {
        Self { name: name.to_owned(), kind: Kind::Classification }
    }

    /// A task with a squared error.
    pub fn regression(name: &str) -> Self {
        Self { name: name.to_owned(), kind: Kind::Regression }
    }
}

/// A model under training, with what balancing learns beside it.
#[derive(Clone, Debug)]
struct Balanced<M> {
    model: M,
    /// `s` of every task.
    log_variance: Option<Param>,
}
module!(impl<M: Module> Balanced<M> { model, log_variance });

/// Trains a model on several tasks.
///
/// A loss function gives the losses of all tasks for a batch, `None` for a task
/// without a label in it: that is the same, bit for bit, as if the task did not
/// exist for this step. Average a task's loss over the samples that have its
/// label ([`masked_mean`](crate::masked_mean)).
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
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MultiTask {
    tasks: Vec<Task>,
    balance: Balance,
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The training; the history has `loss.NAME` and `loss.weight.NAME` for each
    /// task: its loss, and what that weighed.
    pub train: TrainReport,
    /// Mean cosine of each pair of gradients over the run, for balancers of
    /// gradients.
    pub cosines: Vec<Vec<f64>>,
    /// The part of steps in which each pair was in conflict (cosine below 0).
    pub conflicts: Vec<Vec<f64>>,
}

impl MultiTask {
    /// These tasks, in the order in which the loss function gives their losses.
    pub fn new(tasks: &[Task], balance: Balance) -> Self {
        Self { tasks: tasks.to_vec(), balance }
    }

    fn check(&self) -> Result<()> {
        let t = self.tasks.len();
        if t < 2 {
            return Err(Error::argument("multi-task", "tasks", t, "two tasks or more"));
        }
        match &self.balance {
            Balance::Losses(LossBalancer::Fixed(w)) if !w.is_empty() && w.len() != t => {
                Err(Error::argument("fixed weights", "weights", w.len(), format!("{t} weights")))
            }
            Balance::Losses(LossBalancer::Gls | LossBalancer::Stch { .. })
                if self.tasks.len() > 64 =>
            {
                let expected = "at most 64 tasks: a geometric mean of more hides the worst";
                Err(Error::argument("multi-task", "tasks", t, expected))
            }
            _ => Ok(()),
        }
    }

    /// Trains `model` on the batches of `data(epoch)`.
    ///
    /// # Errors
    /// Settings that do not fit the tasks; those of the trainer and the losses.
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
        self.check()?;
        let t = self.tasks.len();
        let learned = self.balance == Balance::Uncertainty;
        let log_variance = learned.then(|| Param::new(Tensor::zeros(t)));
        let mut balanced = Balanced { model: model.clone(), log_variance };
        let mut objective = Steps {
            multi: self,
            losses,
            state: LossState::new(t),
            gradients: GradientState::default(),
            seen: Seen {
                cosines: vec![0.0; t * t],
                conflicts: vec![0.0; t * t],
                counts: vec![0.0; t * t],
            },
        };
        let train = trainer.run(&mut balanced, data, &mut objective)?;
        *model = balanced.model;
        let seen = objective.seen;
        let table = |of: &[f64]| -> Vec<Vec<f64>> {
            let mean =
                |i: usize| if seen.counts[i] > 0.0 { of[i] / seen.counts[i] } else { f64::NAN };
            (0..t).map(|i| (0..t).map(|j| mean(i * t + j)).collect()).collect()
        };
        Ok(Trained { train, cosines: table(&seen.cosines), conflicts: table(&seen.conflicts) })
    }
}

/// Sums over the steps in which both tasks of a pair were there.
struct Seen {
    cosines: Vec<f64>,
    conflicts: Vec<f64>,
    counts: Vec<f64>,
}

struct Steps<'a, F> {
    multi: &'a MultiTask,
    losses: F,
    state: LossState,
    gradients: GradientState,
    seen: Seen,
}

impl<F> Steps<'_, F> {
    fn parts(
        &self,
        mut losses: Losses,
        values: &[Option<Tensor>],
        weights: &[(usize, f32)],
    ) -> Losses {
        for (task, value) in self.multi.tasks.iter().zip(values) {
            if let Some(value) = value {
                losses = losses.part(&task.name, value);
            }
        }
        for (i, weight) in weights {
            let name = format!("weight.{}", self.multi.tasks[*i].name);
            losses = losses.part(&name, &Tensor::scalar(*weight));
        }
        losses
    }

    /// The single loss, for balancers that have one.
    fn single<M>(
        &mut self,
        model: &Balanced<M>,
        values: &[Option<Tensor>],
        seed: u64,
    ) -> Result<Losses> {
        let there: Vec<usize> = (0..values.len()).filter(|&i| values[i].is_some()).collect();
        let (total, weights) = match (&self.multi.balance, &model.log_variance) {
            (Balance::Losses(balancer), _) => self.state.combine(balancer, values, seed)?,
            (Balance::Uncertainty, Some(s)) => {
                let kinds: Vec<Kind> = self.multi.tasks.iter().map(|t| t.kind).collect();
                uncertainty(values, s.tensor(), &kinds)?
            }
            _ => self.state.combine(&LossBalancer::Fixed(Vec::new()), values, seed)?,
        };
        let weights: Vec<(usize, f32)> = there.into_iter().zip(weights).collect();
        Ok(self.parts(Losses::new(total), values, &weights))
    }

    /// The gradients of every task, combined on what at least two share.
    fn combined<M: Module>(
        &mut self,
        model: &Balanced<M>,
        values: &[Option<Tensor>],
        balancer: GradientBalancer,
        seed: u64,
    ) -> Result<(Losses, Gradients)> {
        let trainable = model.trainable();
        let mut present = Vec::new();
        let mut of_tasks: Vec<Vec<Option<Tensor>>> = Vec::new();
        let mut total = Tensor::scalar(0.0);
        for (i, value) in values.iter().enumerate() {
            let Some(value) = value else { continue };
            let mut all = value.backward().map_err(tl_nn::Error::from)?;
            of_tasks.push(trainable.iter().map(|w| all.remove(w)).collect());
            present.push(i);
            total = total.add(&value.detach()).map_err(tl_nn::Error::from)?;
        }
        if present.is_empty() {
            let expected = "a loss of at least one task";
            return Err(Error::argument("multi-task", "losses", "none", expected));
        }
        let reach = |w: usize| of_tasks.iter().filter(|g| g[w].is_some()).count();
        let shared: Vec<usize> = (0..trainable.len()).filter(|&w| reach(w) > 1).collect();
        let gram = Gram::of(present.len(), |a, b| {
            shared
                .iter()
                .filter_map(|&w| Some((of_tasks[a][w].as_ref()?, of_tasks[b][w].as_ref()?)))
                .map(|(x, y)| inner(x, y))
                .sum()
        });
        self.see(&gram, &present);
        let weights = if present.len() == 1 || shared.is_empty() {
            vec![1.0; present.len()]
        } else {
            let tasks = values.len();
            gradient_weights(balancer, &gram, &present, tasks, &mut self.gradients, seed)?
        };
        let mut gradients = Gradients::default();
        for (w, variable) in trainable.iter().enumerate() {
            let is_shared = reach(w) > 1;
            let mut sum: Option<Tensor> = None;
            for (task, weight) in of_tasks.iter().zip(&weights) {
                let Some(g) = &task[w] else { continue };
                // What belongs to one task is trained by its own loss alone.
                let g = if is_shared { g.mul_scalar(*weight as f32) } else { g.clone() };
                sum = Some(match sum {
                    Some(sum) => sum.add(&g).map_err(tl_nn::Error::from)?,
                    None => g,
                });
            }
            if let Some(sum) = sum {
                gradients.insert(variable, sum);
            }
        }
        let weights: Vec<(usize, f32)> =
            present.into_iter().zip(weights.into_iter().map(|w| w as f32)).collect();
        Ok((self.parts(Losses::new(total), values, &weights), gradients))
    }

    fn see(&mut self, gram: &Gram, present: &[usize]) {
        let t = self.multi.tasks.len();
        for (a, &i) in present.iter().enumerate() {
            for (b, &j) in present.iter().enumerate() {
                let cosine = gram.cosine(a, b);
                self.seen.cosines[i * t + j] += cosine;
                self.seen.conflicts[i * t + j] += f64::from(u8::from(cosine < 0.0));
                self.seen.counts[i * t + j] += 1.0;
            }
        }
    }
}

fn inner(x: &Tensor, y: &Tensor) -> f64 {
    x.to_vec().iter().zip(y.to_vec()).map(|(a, b)| f64::from(*a) * f64::from(b)).sum()
}

/// Uncertainty weighting (Kendall et al. 2018, eq. 7 and 10): with the learned
/// `s = ln σ²` `[tasks]`, `½ e^(-s) L + ½ s` for a regression and
/// `e^(-s) L + ½ s` for a classification, summed over the tasks that are there.
/// The sum may be negative. Also returns the weights.
///
/// # Errors
/// Not a kind and a number for each loss; no loss.
pub fn uncertainty(
    losses: &[Option<Tensor>],
    log_variance: &Tensor,
    kinds: &[Kind],
) -> Result<(Tensor, Vec<f32>)> {
    if losses.len() != kinds.len() || log_variance.dims() != [losses.len()] {
        let got = format!("{} losses, {} kinds", losses.len(), kinds.len());
        return Err(Error::argument("uncertainty", "losses", got, "as many kinds and variances"));
    }
    let nn = |e: tl_nn::Error| Error::from(e);
    let mut total: Option<Tensor> = None;
    let mut weights = Vec::new();
    for (i, (loss, kind)) in losses.iter().zip(kinds).enumerate() {
        let Some(loss) = loss else { continue };
        let s = log_variance.select(0, i).map_err(|e| nn(e.into()))?;
        let half = if *kind == Kind::Regression { 0.5 } else { 1.0 };
        let weight = s.neg().exp().mul_scalar(half);
        weights.push(weight.item().map_err(|e| nn(e.into()))?);
        let part =
            loss.mul(&weight).and_then(|l| l.add(&s.mul_scalar(0.5))).map_err(|e| nn(e.into()))?;
        total = Some(match total {
            Some(sum) => sum.add(&part).map_err(|e| nn(e.into()))?,
            None => part,
        });
    }
    match total {
        Some(total) => Ok((total, weights)),
        None => Err(Error::argument("uncertainty", "losses", "none", "at least one")),
    }
}

impl<M, B, F> Objective<Balanced<M>, B> for Steps<'_, F>
where
    M: Module,
    F: FnMut(&M, &B, &mut Ctx) -> tl_nn::Result<Vec<Option<Tensor>>>,
{
    fn loss(&mut self, model: &Balanced<M>, batch: &B, cx: &mut Ctx) -> tl_nn::Result<Losses> {
        let values = (self.losses)(&model.model, batch, cx)?;
        Ok(self.single(model, &values, step_seed(cx.rng()))?)
    }

    fn gradients(
        &mut self,
        model: &Balanced<M>,
        batch: &B,
        cx: &mut Ctx,
    ) -> tl_nn::Result<(Losses, Gradients)> {
        let values = (self.losses)(&model.model, batch, cx)?;
        let seed = step_seed(cx.rng());
        if values.len() != self.multi.tasks.len() {
            let expected = format!("{}, one for each task", self.multi.tasks.len());
            return Err(tl_nn::Error::argument("multi-task", "losses", values.len(), expected));
        }
        match self.multi.balance {
            Balance::Gradients(balancer) => Ok(self.combined(model, &values, balancer, seed)?),
            _ => {
                let losses = self.single(model, &values, seed)?;
                let mut gradients = losses.total().backward()?;
                // What no task of this batch reaches stays as it is.
                for variable in model.trainable() {
                    if gradients.get(variable).is_none() {
                        gradients.insert(variable, Tensor::zeros(*variable.shape()));
                    }
                }
                Ok((losses, gradients))
            }
        }
    }

    fn validate(&mut self, _: &Balanced<M>) -> tl_nn::Result<Option<tl_nn::Metrics>> {
        self.state.end_epoch();
        Ok(None)
    }

    fn state(&self) -> StateDict {
        let mut dict = StateDict::new();
        let mut put = |name: &str, values: Vec<f64>| {
            let n = values.len();
            let halves: Vec<f32> = values
                .iter()
                .flat_map(|v| {
                    let high = *v as f32;
                    [high, (*v - f64::from(high)) as f32]
                })
                .collect();
            if let Ok(tensor) = Tensor::from_vec(halves, [n, 2]) {
                dict.insert(name, Weight::new(&tensor));
            }
        };
        let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        put("epochs", wide(&self.state.epochs.concat()));
        put(
            "running",
            self.state.running.iter().flat_map(|(a, b)| [f64::from(*a), f64::from(*b)]).collect(),
        );
        put("logits", wide(&self.state.logits));
        put("last", wide(&self.state.last));
        put("cosines", self.gradients.cosines.clone());
        dict
    }

    fn load_state(&mut self, dict: &StateDict) -> tl_nn::Result<()> {
        let t = self.multi.tasks.len();
        let mut read: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for name in ["epochs", "running", "logits", "last", "cosines"] {
            let flat = dict.tensor(name)?.to_vec();
            let values = flat.chunks(2).map(|p| f64::from(p[0]) + f64::from(p[1])).collect();
            let _ = read.insert(name, values);
        }
        let take = |name: &str| read.get(name).cloned().unwrap_or_default();
        let narrow = |v: Vec<f64>| v.into_iter().map(|x| x as f32).collect::<Vec<f32>>();
        let (running, logits, last) =
            (narrow(take("running")), narrow(take("logits")), narrow(take("last")));
        if running.len() != 2 * t || logits.len() != t || last.len() != t {
            let got = format!("a state of {} tasks", logits.len());
            return Err(tl_nn::Error::argument("multi-task", "state", got, format!("{t} tasks")));
        }
        self.state = LossState {
            epochs: narrow(take("epochs")).chunks(t).map(<[f32]>::to_vec).collect(),
            running: running.chunks(2).map(|p| (p[0], p[1])).collect(),
            logits,
            last,
        };
        self.gradients.cosines = take("cosines");
        Ok(())
    }
}
