//! One step of several tasks: the objective of the training loop.

use super::{MultiTask, memory::Memory};
use crate::{
    Balance, Conflicts, Error, GradientBalancer, Kind, LossBalancer, Result, TaskGradients,
    affinity::affinity,
    balance::{LEAST_LOSS, step_seed},
    gradient_weights, imtl_l, uncertainty,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_nn::{Ctx, Gradients, Losses, Metrics, Module, ModuleExt, Objective, StateDict, Tensor};

pub(super) struct Steps<'a, F, V> {
    multi: &'a MultiTask,
    losses: F,
    validate: V,
    memory: Memory,
}

/// The losses of a batch by task, and the weights of those that are there.
struct Weighed<'v> {
    values: &'v [Option<Tensor>],
    weights: Vec<f64>,
}

impl<'a, F, V> Steps<'a, F, V> {
    pub(super) fn new(multi: &'a MultiTask, losses: F, validate: V) -> Self {
        Self { multi, losses, validate, memory: Memory::new(multi.tasks.len()) }
    }

    pub(super) fn into_memory(self) -> Memory {
        self.memory
    }

    /// What the history gets.
    fn parts(&self, total: Tensor, weighed: &Weighed<'_>) -> Losses {
        let mut losses = Losses::new(total);
        let there = self.multi.tasks.iter().zip(weighed.values);
        let there = there.filter_map(|(task, value)| Some((task, value.as_ref()?)));
        for ((task, value), weight) in there.zip(&weighed.weights) {
            losses = losses.part(&task.name, value);
            let weight = Tensor::scalar(*weight as f32);
            losses = losses.part(&format!("weight.{}", task.name), &weight);
        }
        losses
    }

    /// The single loss, for methods that have one.
    fn single(&mut self, values: &[Option<Tensor>], seed: u64) -> Result<Losses> {
        let memory = &mut self.memory;
        let (total, weights) = match &self.multi.balance {
            Balance::Losses(balancer) => memory.losses.combine(balancer, values, seed)?,
            Balance::Uncertainty => {
                let kinds: Vec<Kind> = self.multi.tasks.iter().map(|t| t.kind).collect();
                memory.losses.observe(values)?;
                uncertainty(values, &memory.learned.tensor()?, &kinds)?
            }
            Balance::ImtlL => {
                memory.losses.observe(values)?;
                imtl_l(values, &memory.learned.tensor()?)?
            }
            // Only asked for where gradients are not: the search for a fault.
            Balance::GradNorm { .. } | Balance::Gradients(_) => {
                let plain = LossBalancer::Fixed(Vec::new());
                memory.losses.combine(&plain, values, seed)?
            }
        };
        let weights = weights.into_iter().map(f64::from).collect();
        Ok(self.parts(total, &Weighed { values, weights }))
    }

    /// A step of the learned scales down the slope of the total.
    fn move_scales(&mut self, values: &[Option<Tensor>]) -> Result<()> {
        for (i, value) in values.iter().enumerate() {
            let Some(value) = value else { continue };
            let (loss, s) = (f64::from(value.item()?), self.memory.learned.scales[i]);
            let slope = match self.multi.balance {
                Balance::Uncertainty => {
                    let (factor, penalty) = self.multi.tasks[i].kind.uncertainty();
                    f64::from(penalty) - f64::from(factor) * (-s).exp() * loss
                }
                Balance::ImtlL => s.exp() * loss - 1.0,
                _ => return Ok(()),
            };
            self.memory.learned.step(i, slope, self.multi.scale_lr);
        }
        Ok(())
    }

    /// One backward pass of the single loss.
    fn by_losses<M: Module>(
        &mut self,
        model: &M,
        values: &[Option<Tensor>],
        seed: u64,
    ) -> Result<(Losses, Gradients)> {
        let losses = self.single(values, seed)?;
        let mut gradients = losses.total().backward()?;
        self.move_scales(values)?;
        if values.iter().any(Option::is_none) {
            for variable in model.trainable() {
                if gradients.get(variable).is_none() {
                    gradients.insert(variable, Tensor::zeros(*variable.shape()));
                }
            }
        }
        if self.is_due(self.multi.watch) {
            let tasks = TaskGradients::of(model, values)?;
            Conflicts::see(&mut self.memory.now, &tasks);
        }
        Ok((losses, gradients))
    }

    /// A backward pass for each task.
    fn by_gradients<M: Module>(
        &mut self,
        model: &M,
        values: &[Option<Tensor>],
        seed: u64,
    ) -> Result<(Losses, Gradients)> {
        self.memory.losses.observe(values)?;
        let elements = matches!(self.multi.balance, Balance::Gradients(b) if b.needs_elements());
        let logarithms =
            matches!(self.multi.balance, Balance::Gradients(GradientBalancer::DbMtl { .. }));
        let logs = if logarithms { Some(logs(values)?) } else { None };
        let of = logs.as_deref().unwrap_or(values);
        let mut tasks = match elements {
            true => TaskGradients::materialised(model, of)?,
            false => TaskGradients::of(model, of)?,
        };
        let all_there = values.iter().all(Option::is_some);
        if all_there && !tasks.is_shared() {
            let expected = "a model in which two tasks share a trainable parameter (is the trunk \
                            frozen?), or `Balance::equal()`, as no gradients meet here";
            return Err(Error::argument(
                "multi-task",
                "balance",
                self.multi.balance.name(),
                expected,
            ));
        }
        if self.multi.watch.is_none() || self.is_due(self.multi.watch) {
            Conflicts::see(&mut self.memory.now, &tasks);
        }
        let (weights, mut gradients) = self.balanced(&mut tasks, values, seed)?;
        if !all_there {
            for (_, parameter) in tasks.unreached() {
                gradients.insert(parameter, Tensor::zeros(*parameter.shape()));
            }
        }
        let total = plain_sum(values)?;
        Ok((self.parts(total, &Weighed { values, weights }), gradients))
    }

    /// The weights of the tasks that are there, and the gradients of the step.
    fn balanced(
        &mut self,
        tasks: &mut TaskGradients,
        values: &[Option<Tensor>],
        seed: u64,
    ) -> Result<(Vec<f64>, Gradients)> {
        let ones = vec![1.0; tasks.present().len()];
        if let Balance::GradNorm { alpha, lr } = self.multi.balance {
            return self.normalised(tasks, values, alpha, lr);
        }
        let Balance::Gradients(balancer) = self.multi.balance else {
            let gradients = tasks.combine(&ones, &ones)?;
            return Ok((ones, gradients));
        };
        match balancer {
            GradientBalancer::GradDrop { leak } => {
                let gradients = tasks.dropped(leak, &mut ChaCha8Rng::seed_from_u64(seed))?;
                return Ok((ones, gradients));
            }
            GradientBalancer::DbMtl { beta } => self.average(tasks, beta as f32)?,
            _ => {}
        }
        // What belongs to one task is trained by its own loss alone.
        if !tasks.is_shared() {
            let gradients = tasks.combine(&ones, &ones)?;
            return Ok((ones, gradients));
        }
        let state = &mut self.memory.gradients;
        let (gram, n) = (tasks.gram(), values.len());
        let weights = gradient_weights(balancer, &gram, tasks.present(), n, state, seed)?;
        let gradients = tasks.combine(&weights, &ones)?;
        Ok((weights, gradients))
    }

    /// GradNorm: the step has the weights of before, on all parameters.
    fn normalised(
        &mut self,
        tasks: &TaskGradients,
        values: &[Option<Tensor>],
        alpha: f64,
        lr: f64,
    ) -> Result<(Vec<f64>, Gradients)> {
        let (state, present) = (&mut self.memory.grad_norm, tasks.present());
        let weights: Vec<f64> = present.iter().map(|&i| state.weights[i]).collect();
        let gradients = tasks.combine(&weights, &weights)?;
        if let Some(gram) = tasks.last_shared() {
            let norms: Vec<f64> = (0..present.len()).map(|i| gram.norm(i)).collect();
            let mut losses = Vec::with_capacity(present.len());
            for value in values.iter().flatten() {
                losses.push(f64::from(value.item()?));
            }
            state.update(present, &norms, &losses, alpha, lr)?;
        }
        Ok((weights, gradients))
    }

    /// DB-MTL: every gradient becomes its moving average, which begins with the
    /// first.
    fn average(&mut self, tasks: &mut TaskGradients, beta: f32) -> Result<()> {
        let averages = &mut self.memory.averages;
        tasks.change(|task, path, gradient| {
            let key = (task, path.to_owned());
            let moved = match averages.get(&key) {
                Some(old) if beta > 0.0 => {
                    old.mul_scalar(beta).add(&gradient.mul_scalar(1.0 - beta))?
                }
                _ => gradient,
            };
            if beta > 0.0 {
                averages.insert(key, moved.clone());
            }
            Ok(moved)
        })
    }

    fn is_due(&self, every: Option<u64>) -> bool {
        every.is_some_and(|every| self.memory.batches.is_multiple_of(every))
    }
}

/// `ln(L + ε)` of the losses that are there.
fn logs(values: &[Option<Tensor>]) -> Result<Vec<Option<Tensor>>> {
    let log = |value: &Option<Tensor>| -> Result<Option<Tensor>> {
        let Some(loss) = value else { return Ok(None) };
        let number = loss.item()?;
        if number >= 0.0 {
            return Ok(Some(loss.add_scalar(LEAST_LOSS).log()));
        }
        let expected = "losses from 0, as their logarithm is taken";
        Err(Error::argument("DB-MTL", "loss", number, expected))
    };
    values.iter().map(log).collect()
}

fn plain_sum(values: &[Option<Tensor>]) -> Result<Tensor> {
    let mut total = Tensor::scalar(0.0);
    for value in values.iter().flatten() {
        total = total.add(&value.detach())?;
    }
    Ok(total)
}

impl<M, B, F, V> Objective<M, B> for Steps<'_, F, V>
where
    M: Module,
    F: FnMut(&M, &B, &mut Ctx) -> tl_nn::Result<Vec<Option<Tensor>>>,
    V: FnMut(&M) -> tl_nn::Result<Option<Metrics>>,
{
    fn loss(&mut self, model: &M, batch: &B, cx: &mut Ctx) -> tl_nn::Result<Losses> {
        let values = (self.losses)(model, batch, cx)?;
        Ok(self.single(&values, step_seed(cx.rng()))?)
    }

    fn gradients(
        &mut self,
        model: &M,
        batch: &B,
        cx: &mut Ctx,
    ) -> tl_nn::Result<(Losses, Gradients)> {
        let values = (self.losses)(model, batch, cx)?;
        let seed = step_seed(cx.rng());
        if values.len() != self.multi.tasks.len() {
            let expected = format!("{}, one for each task", self.multi.tasks.len());
            return Err(tl_nn::Error::argument("multi-task", "losses", values.len(), expected));
        }
        if values.iter().flatten().any(|v| !v.is_finite()) {
            // The trainer says which step and layer it was.
            return Ok((Losses::new(plain_sum(&values)?), Gradients::default()));
        }
        if let Some((every, lr)) = self.multi.affinity
            && self.memory.batches.is_multiple_of(every)
        {
            let again = &mut |model: &M, cx: &mut Ctx| (self.losses)(model, batch, cx);
            let table = affinity(model, lr, seed, again)?;
            self.memory.affinity.see(&table);
        }
        let result = if self.multi.balance.needs_gradients() {
            self.by_gradients(model, &values, seed)?
        } else {
            self.by_losses(model, &values, seed)?
        };
        self.memory.batches += 1;
        Ok(result)
    }

    fn validate(&mut self, model: &M) -> tl_nn::Result<Option<Metrics>> {
        self.memory.end_epoch();
        (self.validate)(model)
    }

    fn state(&self) -> StateDict {
        self.memory.save()
    }

    fn load_state(&mut self, dict: &StateDict) -> tl_nn::Result<()> {
        self.memory = Memory::load(dict, self.multi.tasks.len())?;
        Ok(())
    }
}
