//! The loss of the global batch.

use crate::{Collective, Plan, Result, Shards};
use tl_nn::{Losses, Tensor};

/// The mean over all micro-shards, weighted by samples and summed in their order;
/// `own` are the losses of this rank's.
pub(crate) fn mean<B>(
    world: &dyn Collective,
    plan: &Plan,
    batch: &Shards<B>,
    own: Vec<f32>,
) -> Result<Losses> {
    let there = batch.there();
    let of_rank = |rank| plan.of_rank(rank).filter(|&shard| there[shard]).count();
    let counts: Vec<usize> = (0..plan.ranks()).map(of_rank).collect();
    let all = world.all_gather(own, &counts)?;
    let shards = (0..there.len()).filter(|&shard| there[shard]);
    let terms = shards.zip(all).map(|(s, loss)| f64::from(batch.weight(s)) * f64::from(loss));
    Ok(Losses::new(Tensor::scalar(terms.sum::<f64>() as f32)))
}
