//! What balancers of losses remember.

use super::{LossBalancer, There, dwa, famo, gls, rlw, stch};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tl_nn::Tensor;

/// What a balancer of losses remembers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LossState {
    /// Mean loss of every finished epoch: `[epochs][tasks]`.
    pub epochs: Vec<Vec<f32>>,
    /// Sum and count of this epoch.
    pub running: Vec<(f32, f32)>,
    /// FAMO's `ξ`.
    pub logits: Vec<f32>,
    /// The losses of the last step with this task, NaN before the first.
    pub last: Vec<f32>,
}

impl LossState {
    /// For so many tasks.
    pub fn new(tasks: usize) -> Self {
        Self {
            epochs: Vec::new(),
            running: vec![(0.0, 0.0); tasks],
            logits: vec![0.0; tasks],
            last: vec![f32::NAN; tasks],
        }
    }

    /// Ends an epoch: its mean losses are kept. A task without a loss in it keeps
    /// its mean of before.
    pub fn end_epoch(&mut self) {
        let before = self.epochs.last().cloned();
        let means = self
            .running
            .iter_mut()
            .enumerate()
            .map(|(i, slot)| {
                let (sum, count) = std::mem::take(slot);
                let old = before.as_ref().map_or(f32::NAN, |b| b[i]);
                if count > 0.0 { sum / count } else { old }
            })
            .collect();
        self.epochs.push(means);
    }

    /// Notes losses that were balanced elsewhere.
    pub(crate) fn observe(&mut self, losses: &[Option<Tensor>]) -> Result<()> {
        let there = There::of(losses, self.running.len())?;
        self.note(&there);
        Ok(())
    }

    fn note(&mut self, there: &There<'_>) {
        for (&i, value) in there.tasks.iter().zip(&there.values) {
            self.running[i].0 += value;
            self.running[i].1 += 1.0;
        }
    }

    /// The single loss of the tasks that are there (`None`: no label in this
    /// batch), and the weights that it gave them. A task that is missing counts
    /// as if it did not exist: weights are those of the others, what is
    /// remembered of it stays.
    ///
    /// # Errors
    /// Not a loss for each task; none at all; a loss that is not above 0 where a
    /// logarithm is needed; settings out of range.
    pub fn combine(
        &mut self,
        balancer: &LossBalancer,
        losses: &[Option<Tensor>],
        seed: u64,
    ) -> Result<(Tensor, Vec<f32>)> {
        balancer.check(self.running.len())?;
        let there = There::of(losses, self.running.len())?;
        self.note(&there);
        let weights = match balancer {
            LossBalancer::Fixed(w) if w.is_empty() => vec![1.0; there.len()],
            LossBalancer::Fixed(w) => there.tasks.iter().map(|&i| w[i]).collect(),
            LossBalancer::Dwa { temperature } => dwa::weights(&self.epochs, &there, *temperature),
            LossBalancer::Rlw => rlw::weights(there.len(), seed),
            LossBalancer::Gls => return gls::loss(&there),
            LossBalancer::Stch { mu, warm_up } => match self.epochs.get(warm_up - 1) {
                Some(nadir) => return stch::loss(&there, nadir, *mu),
                None => vec![1.0; there.len()],
            },
            LossBalancer::Famo { lr, decay } => return famo::loss(self, &there, *lr, *decay),
        };
        Ok((there.weighted(&weights)?, weights))
    }

    /// # Errors
    /// A state of another number of tasks.
    pub(crate) fn check(&self, tasks: usize) -> Result<()> {
        let sizes = [self.running.len(), self.logits.len(), self.last.len()];
        if sizes != [tasks; 3] || self.epochs.iter().any(|e| e.len() != tasks) {
            let got = format!("a state of {} tasks", self.logits.len());
            return Err(Error::argument("multi-task", "state", got, format!("{tasks} tasks")));
        }
        Ok(())
    }
}
