//! A copy of a model with fast weights.

use crate::Result;
use tl_data::Batch;
use tl_nn::{Ctx, Module, ModuleExt, Tensor, Update};

/// Which of the trainable weights the inner loop moves, and what is the same
/// weight twice.
pub(super) struct Slots {
    /// For each trainable weight its place among the fast ones.
    fast: Vec<Option<usize>>,
}

impl Slots {
    /// From whether each trainable parameter moves, in order.
    pub(super) fn new<M: Module>(model: &M, moves: impl Fn(&str) -> bool) -> Self {
        let mut seen: Vec<&Tensor> = Vec::new();
        let mut fast = Vec::new();
        for (path, param) in model.params().into_iter().filter(|(_, p)| !p.is_frozen()) {
            fast.push(moves(&path).then(|| {
                let tied = seen.iter().position(|t| t.same_variable(param.tensor()));
                tied.unwrap_or_else(|| {
                    seen.push(param.tensor());
                    seen.len() - 1
                })
            }));
        }
        Self { fast }
    }

    /// The weights that move, each once.
    pub(super) fn initial<M: Module>(&self, model: &M) -> Vec<Tensor> {
        let mut weights = Vec::new();
        for (slot, tensor) in self.fast.iter().zip(model.trainable()) {
            if *slot == Some(weights.len()) {
                weights.push(tensor.clone());
            }
        }
        weights
    }

    /// For each trainable weight what belongs to its fast one. A weight that is
    /// there twice has it once.
    pub(super) fn spread(&self, of_fast: &[Tensor]) -> Vec<Option<Tensor>> {
        let mut next = 0;
        let take = |slot: &Option<usize>| {
            let first = *slot == Some(next);
            next += usize::from(first);
            if first { slot.and_then(|i| of_fast.get(i).cloned()) } else { None }
        };
        self.fast.iter().map(take).collect()
    }

    /// A copy of the model with these fast weights.
    pub(super) fn model<M: Module>(&self, model: &M, weights: &[Tensor]) -> Result<M> {
        let all: Vec<Tensor> = self
            .fast
            .iter()
            .zip(model.trainable())
            .map(|(slot, own)| slot.map_or(own, |i| &weights[i]).clone())
            .collect();
        Ok(model.with_params(&all)?)
    }
}

/// The loss on a support set, and what normalisation recorded.
pub(super) fn support_loss<M, F>(
    model: &M,
    support: &Batch,
    loss: &F,
    seed: u64,
) -> Result<(Tensor, Vec<Update>)>
where
    M: Module,
    F: Fn(&M, &Batch, &mut Ctx) -> tl_nn::Result<Tensor>,
{
    let mut cx = Ctx::train(seed);
    Ok((loss(model, support, &mut cx)?, cx.take_updates()))
}

/// Moves the buffers of `model` a `part` of the way that those of its copy have
/// gone: the statistics that a task leaves behind.
pub(super) fn follow_buffers<M: Module>(model: &M, copy: &M, part: f32) -> Result<Vec<Update>> {
    let mut record = Ctx::eval();
    for ((_, own), (_, moved)) in model.buffers().into_iter().zip(copy.buffers()) {
        let change = moved.tensor().sub(own.tensor())?.mul_scalar(part);
        record.update(own, move |now| Ok(now.add(&change)?));
    }
    Ok(record.take_updates())
}

/// The same numbers without history: a model of its own, ready to be used,
/// trained on or saved.
pub(super) fn cut<M: Module>(mut model: M) -> Result<M> {
    model.for_each_param(|_, param| {
        if !param.is_frozen() {
            param.replace(param.tensor().detach().requires_grad());
        }
        Ok(())
    })?;
    Ok(model)
}
