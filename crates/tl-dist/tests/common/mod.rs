//! A small network on real digits, trained on any number of ranks.

#![allow(dead_code, reason = "each test uses a part")]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use tl_data::{Batch, Batching, Dataset, samples, transform::RandomAffine};
use tl_dist::{
    Collective, DataParallel, Plan, Reduction, Result, ShardedLoader, SharedCheckpoint,
    check_replicas,
};
use tl_nn::{
    Act, AdamW, BatchNorm, CrossEntropy, Ctx, Dropout, Flatten, Forward, Linear, ModuleExt,
    Optimizer, Sequential, Trainer,
};

pub(crate) const DETERMINISTIC: Reduction = Reduction::Deterministic { shards: 8 };

/// Batch normalisation and dropout: the parts that depend on how a batch is cut.
pub(crate) fn network() -> Sequential {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    Sequential::new()
        .push(Flatten)
        .push(Linear::new(64, 24, &mut rng))
        .push(BatchNorm::new(24))
        .push(Act::Relu)
        .push(Dropout::new(0.2))
        .push(Linear::new(24, 10, &mut rng))
}

/// 300 digits: with batches of 64 the last one has 44.
pub(crate) fn digits() -> Dataset {
    samples::digits().select(&(0..300).collect::<Vec<_>>()).unwrap()
}

pub(crate) fn batching() -> Batching {
    Batching::new(64).shuffled(11)
}

pub(crate) fn optimizer() -> Optimizer {
    Optimizer::new(AdamW::new(3e-3)).clip_norm(1.0)
}

pub(crate) fn objective(
    model: &Sequential,
    batch: &Batch,
    cx: &mut Ctx,
) -> tl_nn::Result<tl_nn::Tensor> {
    let logits = model.forward(&batch.features, cx)?;
    let labels = batch.labels().map_err(tl_nn::Error::other)?;
    Ok(CrossEntropy::new().label_smoothing(0.1).loss(&logits, labels)?)
}

/// How a run is made, beside the ranks.
pub(crate) struct Setting<'a> {
    pub(crate) reduction: Reduction,
    pub(crate) epochs: usize,
    pub(crate) bucket_bytes: usize,
    pub(crate) overlap: bool,
    pub(crate) checkpoint: Option<&'a Path>,
    /// The rank that fails after so many steps.
    pub(crate) dies: Option<(usize, usize)>,
}

impl Setting<'_> {
    pub(crate) fn new(reduction: Reduction) -> Self {
        Self {
            reduction,
            epochs: 2,
            bucket_bytes: 2048,
            overlap: true,
            checkpoint: None,
            dies: None,
        }
    }
}

/// The bits of all parameters and buffers, and of the losses, after training.
pub(crate) fn train(world: &dyn Collective, setting: &Setting<'_>) -> Result<(Vec<u32>, Vec<u64>)> {
    let mut model = network();
    let plan = Plan::new(world, setting.reduction)?;
    let loader = ShardedLoader::new(&digits(), batching(), plan)?
        .transform(RandomAffine::new().translate(0.1));
    let mut passes = 0;
    let mut parallel =
        DataParallel::new(world, plan, |model: &Sequential, batch: &Batch, cx: &mut Ctx| {
            passes += 1;
            let per_step = plan.own().len();
            if setting.dies.is_some_and(|(r, s)| r == world.rank() && passes > s * per_step) {
                return Err(tl_nn::Error::other("the power went out"));
            }
            objective(model, batch, cx)
        })
        .bucket_bytes(setting.bucket_bytes)
        .overlap(setting.overlap);
    let mut trainer = Trainer::new(optimizer(), setting.epochs).seed(3);
    let checkpoint;
    if let Some(path) = setting.checkpoint {
        checkpoint = SharedCheckpoint::new(world, path)?.every(2);
        trainer = checkpoint.attach(trainer);
    }
    let report = trainer.run(&mut model, |e| loader.epoch(e as u64), &mut parallel)?;
    check_replicas(world, &model)?;
    Ok((bits(&model), report.history.records.iter().map(|r| r.train["loss"].to_bits()).collect()))
}

pub(crate) fn bits(model: &Sequential) -> Vec<u32> {
    let params = model.params().into_iter().flat_map(|(_, p)| p.tensor().to_vec());
    let buffers = model.buffers().into_iter().flat_map(|(_, b)| b.tensor().to_vec());
    params.chain(buffers).map(f32::to_bits).collect()
}
