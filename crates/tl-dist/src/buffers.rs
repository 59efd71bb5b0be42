//! Running statistics of all micro-shards.

use crate::{Collective, Plan, Result, sum::planned, tree::Tree};
use tl_nn::{Buffer, Ctx, Module, ModuleExt, Tensor};

/// The mean over micro-shards of the buffers that passes changed.
pub(crate) struct Statistics {
    /// The model's numbers before, of buffers that may move.
    before: Vec<Vec<f32>>,
    tree: Tree,
}

fn movable<M: Module>(model: &M) -> Vec<&Buffer> {
    model.buffers().into_iter().map(|(_, buffer)| buffer).filter(|b| !b.is_frozen()).collect()
}

impl Statistics {
    pub(crate) fn new<M: Module>(model: &M, shards: usize) -> Self {
        let before = movable(model).iter().map(|b| b.tensor().to_vec()).collect();
        Self { before, tree: Tree::new(shards) }
    }

    /// The numbers of all buffers, then for each a 1 if a shard changed it.
    fn length(&self) -> usize {
        self.before.iter().map(|b| b.len() + 1).sum()
    }

    /// A micro-shard without samples.
    pub(crate) fn skip(&mut self, shard: usize) {
        self.tree.push_leaf(shard, None);
    }

    /// What one micro-shard made of the buffers.
    pub(crate) fn add<M: Module>(&mut self, shard: usize, replica: &M, weight: f32) {
        let mut numbers = Vec::with_capacity(self.length());
        let mut changed = Vec::with_capacity(self.before.len());
        for (buffer, before) in movable(replica).iter().zip(&self.before) {
            let now = buffer.tensor().to_vec();
            let same = now.iter().zip(before).all(|(a, b)| a.to_bits() == b.to_bits());
            changed.push(f32::from(u8::from(!same)));
            numbers.extend(now.iter().map(|x| x * weight));
        }
        numbers.extend(changed);
        self.tree.push_leaf(shard, Some(numbers));
    }

    /// Records the means in `cx`, as updates of the model's own buffers.
    pub(crate) fn record<M: Module>(
        self,
        world: &dyn Collective,
        plan: &Plan,
        there: &[bool],
        model: &M,
        cx: &mut Ctx,
    ) -> Result<()> {
        if self.before.is_empty() {
            return Ok(());
        }
        let length = self.length();
        let mean = planned(world, plan, self.tree.into_nodes(), there, length)?;
        let (mut rest, changed) = mean.split_at(length - self.before.len());
        for (buffer, changed) in movable(model).into_iter().zip(changed) {
            let (own, after) = rest.split_at(buffer.tensor().numel());
            rest = after;
            if *changed == 0.0 {
                continue;
            }
            let whole = buffer.is_integer();
            let own = own.iter().map(|&x| if whole { x.round() } else { x }).collect();
            let mean = Tensor::from_vec(own, *buffer.tensor().shape())?;
            cx.update(buffer, move |_| Ok(mean));
        }
        Ok(())
    }
}
