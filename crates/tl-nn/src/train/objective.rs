//! What a training run minimises.

use crate::{Ctx, Gradients, Module, Result, StateDict, Tensor};
use std::collections::BTreeMap;

/// Numbers by name, such as the accuracy on a validation set.
pub type Metrics = BTreeMap<String, f64>;

/// The loss of a batch, and the parts of it that are worth a line in the
/// history.
///
/// ```
/// use tl_nn::{Losses, Tensor};
/// # fn main() -> tl_nn::Result<()> {
/// let (task, domain) = (Tensor::scalar(2.0), Tensor::scalar(1.0));
/// let losses = Losses::new(task.add(&domain.mul_scalar(0.1))?)
///     .part("task", &task)
///     .part("domain", &domain);
/// # let _ = losses;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Losses {
    pub(super) total: Tensor,
    pub(super) parts: Vec<(String, Tensor)>,
}

impl Losses {
    /// What is minimised: a single number.
    pub fn new(total: Tensor) -> Self {
        Self { total, parts: Vec::new() }
    }

    /// What is minimised.
    pub fn total(&self) -> &Tensor {
        &self.total
    }

    /// Adds a number to the history under `name`. It is not minimised.
    #[must_use]
    pub fn part(mut self, name: &str, value: &Tensor) -> Self {
        self.parts.push((name.to_owned(), value.detach()));
        self
    }
}

impl From<Tensor> for Losses {
    fn from(total: Tensor) -> Self {
        Self::new(total)
    }
}

/// What a technique adds to the training loop: the loss of a batch, and, if
/// it has any, what happens after a step, how a model is validated, and state
/// of its own.
pub trait Objective<M: Module, B> {
    /// The loss of a batch in training.
    ///
    /// # Errors
    /// Anything that goes wrong; the run stops, its last checkpoint stays.
    fn loss(&mut self, model: &M, batch: &B, cx: &mut Ctx) -> Result<Losses>;

    /// The loss of a batch with its gradients, by default those of
    /// [`loss`](Self::loss). Override it where the step is not the gradient of
    /// one loss, or where the graph of a whole batch would take too much
    /// memory: gradients that are balanced among tasks, meta-gradients summed
    /// task by task. Then the graph of the loss that is returned is not used.
    ///
    /// # Errors
    /// As [`loss`](Self::loss).
    fn gradients(&mut self, model: &M, batch: &B, cx: &mut Ctx) -> Result<(Losses, Gradients)> {
        let losses = self.loss(model, batch, cx)?;
        let gradients =
            if losses.total.is_finite() { losses.total.backward()? } else { Gradients::default() };
        Ok((losses, gradients))
    }

    /// After the optimiser's step number `step` (from 1): a target network
    /// follows, a centre moves.
    ///
    /// # Errors
    /// Anything that goes wrong; the run stops, its last checkpoint stays.
    fn after_step(&mut self, model: &mut M, step: u64) -> Result<()> {
        let _ = (model, step);
        Ok(())
    }

    /// Metrics of the model after an epoch, `None` if there is no validation.
    ///
    /// # Errors
    /// Anything that goes wrong; the run stops, its last checkpoint stays.
    fn validate(&mut self, model: &M) -> Result<Option<Metrics>> {
        let _ = model;
        Ok(None)
    }

    /// What a resumed run needs to know of this objective.
    fn state(&self) -> StateDict {
        StateDict::new()
    }

    /// Goes on from [`state`](Self::state).
    ///
    /// # Errors
    /// The state is not one of this objective.
    fn load_state(&mut self, state: &StateDict) -> Result<()> {
        let _ = state;
        Ok(())
    }
}

/// The validation that is none.
pub(super) type NoValidation<M> = fn(&M) -> Result<Metrics>;

/// An objective of closures.
pub(super) struct Closures<F, V> {
    pub(super) loss: F,
    pub(super) validate: Option<V>,
}

impl<M, B, F, L, V> Objective<M, B> for Closures<F, V>
where
    M: Module,
    F: FnMut(&M, &B, &mut Ctx) -> Result<L>,
    L: Into<Losses>,
    V: FnMut(&M) -> Result<Metrics>,
{
    fn loss(&mut self, model: &M, batch: &B, cx: &mut Ctx) -> Result<Losses> {
        Ok((self.loss)(model, batch, cx)?.into())
    }

    fn validate(&mut self, model: &M) -> Result<Option<Metrics>> {
        self.validate.as_mut().map(|validate| validate(model)).transpose()
    }
}
