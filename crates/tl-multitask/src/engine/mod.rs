//! The gradients of several tasks, their Gram matrix, and one sum of them.

mod cost;
mod held;

pub use cost::LinearSize;

use crate::{Error, Gram, Result, balance::drop_conflicts};
use held::Held;
use rand_chacha::ChaCha8Rng;
use tl_nn::{Gradients, Module, ModuleExt, Tensor};
use tl_tensor::FactoredGradient;

/// The gradients of the losses of one batch on all trainable parameters of a
/// model: what the balancers of gradients work with, for a loop of your own.
///
/// One backward pass a task. The weight of a linear layer that all tasks use on
/// the same inputs is never multiplied out for single tasks if that is dearer
/// ([`LinearSize`]): its inner products come from the gradients of its outputs
/// and from its inputs, and one weighted product is its part of the step. Every
/// other parameter keeps a gradient for each task that shares it. Passes are
/// ordinary ones, so batch normalisation, recurrent layers and anything else
/// may be in the model.
///
/// ```
/// # use rand::SeedableRng;
/// use tl_multitask::{GradientBalancer, GradientState, HardSharing, TaskGradients, gradient_weights};
/// use tl_nn::{Adam, Ctx, Linear, Optimizer, Tensor};
/// # fn main() -> tl_multitask::Result<()> {
/// # let rng = &mut rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let heads = vec![Linear::new(8, 1, rng), Linear::new(8, 1, rng)];
/// let mut net = HardSharing { trunk: Linear::new(4, 8, rng), heads };
/// let out = net.forward_all(&Tensor::ones([5, 4]), &mut Ctx::train(0))?;
/// let losses: Vec<_> = out.iter().map(|y| Some(y.square().mean_all())).collect();
///
/// let tasks = TaskGradients::of(&net, &losses)?;
/// let state = &mut GradientState::default();
/// let weights =
///     gradient_weights(GradientBalancer::UpGrad, &tasks.gram(), tasks.present(), 2, state, 0)?;
/// let gradients = tasks.combine(&weights, &[1.0, 1.0])?;
/// Optimizer::new(Adam::new(1e-3)).step(&mut net, &gradients)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TaskGradients {
    present: Vec<usize>,
    shared: Vec<Shared>,
    own: Vec<Own>,
    /// Parameters that no task reaches.
    unreached: Vec<(String, Tensor)>,
}

/// A parameter that two tasks or more reach.
#[derive(Clone, Debug)]
struct Shared {
    path: String,
    parameter: Tensor,
    held: Held,
    gram: Gram,
}

/// A parameter that one task reaches, and its place in `present`.
#[derive(Clone, Debug)]
struct Own {
    parameter: Tensor,
    task: usize,
    gradient: Tensor,
}

impl TaskGradients {
    /// Of these losses; `None` is a task that is not in this batch: as if it did
    /// not exist.
    ///
    /// # Errors
    /// No loss; one that no parameter of the model went into.
    pub fn of<M: Module>(model: &M, losses: &[Option<Tensor>]) -> Result<Self> {
        Self::with(model, losses, false)
    }

    /// As [`of`](Self::of), with every gradient multiplied out, for
    /// [`dropped`](Self::dropped) and to compare.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn materialised<M: Module>(model: &M, losses: &[Option<Tensor>]) -> Result<Self> {
        Self::with(model, losses, true)
    }

    fn with<M: Module>(model: &M, losses: &[Option<Tensor>], whole: bool) -> Result<Self> {
        let parameters = trainable(model);
        let mut present = Vec::new();
        let mut of_tasks: Vec<Vec<Option<FactoredGradient>>> = Vec::new();
        for (i, loss) in losses.iter().enumerate() {
            let Some(loss) = loss else { continue };
            let mut all = loss.backward_factored()?;
            of_tasks.push(parameters.iter().map(|(_, p)| all.remove(p)).collect());
            present.push(i);
        }
        if present.is_empty() {
            let expected = "a loss of at least one task";
            return Err(Error::argument("multi-task", "losses", "none", expected));
        }
        let mut gradients =
            Self { present, shared: Vec::new(), own: Vec::new(), unreached: Vec::new() };
        for (at, (path, parameter)) in parameters.into_iter().enumerate() {
            let mine: Vec<_> = of_tasks.iter_mut().map(|task| task[at].take()).collect();
            gradients.take(path, parameter, mine, whole)?;
        }
        Ok(gradients)
    }

    /// Takes the gradients on one parameter in.
    fn take(
        &mut self,
        path: String,
        parameter: Tensor,
        mut of_tasks: Vec<Option<FactoredGradient>>,
        whole: bool,
    ) -> Result<()> {
        let reach: Vec<usize> = (0..of_tasks.len()).filter(|&t| of_tasks[t].is_some()).collect();
        match reach[..] {
            [] => self.unreached.push((path, parameter)),
            [task] => {
                if let Some(gradient) = of_tasks[task].take() {
                    self.own.push(Own { parameter, task, gradient: gradient.dense()? });
                }
            }
            _ => {
                let held = Held::new(of_tasks, &parameter, whole)?;
                let gram = held.gram()?;
                self.shared.push(Shared { path, parameter, held, gram });
            }
        }
        Ok(())
    }

    /// The tasks that are there, by their numbers.
    pub fn present(&self) -> &[usize] {
        &self.present
    }

    /// Whether two tasks share a parameter.
    pub fn is_shared(&self) -> bool {
        !self.shared.is_empty()
    }

    /// Trainable parameters that no task of this batch reaches.
    pub fn unreached(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.unreached.iter().map(|(path, parameter)| (path.as_str(), parameter))
    }

    /// The inner products of all pairs of tasks over the shared parameters.
    pub fn gram(&self) -> Gram {
        let t = self.present.len();
        Gram::of(t, |i, j| self.shared.iter().map(|s| s.gram.get(i, j)).sum())
    }

    /// The same parameter by parameter, by path.
    pub fn by_parameter(&self) -> impl Iterator<Item = (&str, &Gram)> {
        self.shared.iter().map(|s| (s.path.as_str(), &s.gram))
    }

    /// The Gram matrix on the last shared weight (a parameter of two dimensions
    /// or more), which GradNorm looks at.
    pub fn last_shared(&self) -> Option<&Gram> {
        let mut weights = self.shared.iter().filter(|s| s.parameter.rank() > 1);
        weights.next_back().or(self.shared.last()).map(|s| &s.gram)
    }

    /// How many shared parameters are not multiplied out.
    pub fn factored(&self) -> usize {
        self.shared.iter().filter(|s| s.held.is_factored()).count()
    }

    /// One gradient for every parameter: on shared ones the sum with the weights
    /// `shared`, on others that of their task times its weight in `own`; both
    /// have a weight for each task that is there.
    ///
    /// # Errors
    /// Not so many weights.
    pub fn combine(&self, shared: &[f64], own: &[f64]) -> Result<Gradients> {
        self.gather(own, |s| s.held.combine(shared), shared.len())
    }

    /// [GradDrop](crate::GradientBalancer::GradDrop) on shared parameters, the
    /// plain gradients on others.
    ///
    /// # Errors
    /// Gradients that are not [`materialised`](Self::materialised).
    pub fn dropped(&self, leak: f64, rng: &mut ChaCha8Rng) -> Result<Gradients> {
        let t = self.present.len();
        let drop = |s: &Shared| match &s.held {
            Held::Whole { all, dims } => {
                let sum = drop_conflicts(&all.to_vec(), s.parameter.numel(), leak as f32, rng);
                Ok(Tensor::from_vec(sum, tl_nn::Shape::new(dims)?)?)
            }
            Held::Products { .. } => {
                let expected = "`TaskGradients::materialised`, as single numbers are dropped";
                Err(Error::argument("GradDrop", "gradients", "products", expected))
            }
        };
        self.gather(&vec![1.0; t], drop, t)
    }

    fn gather(
        &self,
        own: &[f64],
        mut shared: impl FnMut(&Shared) -> Result<Tensor>,
        weights: usize,
    ) -> Result<Gradients> {
        let t = self.present.len();
        if weights != t || own.len() != t {
            let got = format!("{weights} and {}", own.len());
            return Err(Error::argument("task gradients", "weights", got, format!("{t} of each")));
        }
        let mut gradients = Gradients::default();
        for s in &self.shared {
            gradients.insert(&s.parameter, shared(s)?);
        }
        for Own { parameter, task, gradient } in &self.own {
            let weight = own[*task];
            let gradient =
                if weight == 1.0 { gradient.clone() } else { gradient.mul_scalar(weight as f32) };
            gradients.insert(parameter, gradient);
        }
        Ok(gradients)
    }

    /// Every shared gradient of every task that is there becomes
    /// `change(task, path, gradient)`; for moving averages. The gradients must be
    /// materialised.
    pub(crate) fn change(
        &mut self,
        mut change: impl FnMut(usize, &str, Tensor) -> Result<Tensor>,
    ) -> Result<()> {
        for s in &mut self.shared {
            let Held::Whole { all, .. } = &mut s.held else { continue };
            let mut rows = Vec::with_capacity(self.present.len());
            for (row, &task) in self.present.iter().enumerate() {
                rows.push(change(task, &s.path, all.select(0, row)?)?);
            }
            *all = Tensor::stack(&rows.iter().collect::<Vec<_>>(), 0)?;
            s.gram = s.held.gram()?;
        }
        Ok(())
    }
}

/// Every trainable parameter once, by its first path.
fn trainable<M: Module>(model: &M) -> Vec<(String, Tensor)> {
    let mut seen: Vec<(String, Tensor)> = Vec::new();
    let params = model.params().into_iter().filter(|(_, p)| !p.is_frozen());
    for (path, param) in params {
        // Tied ones are one variable under two paths.
        if !seen.iter().any(|(_, t)| t.same_variable(param.tensor())) {
            seen.push((path, param.tensor().clone()));
        }
    }
    seen
}
