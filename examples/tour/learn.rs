//! What all parts of the tour share: digits, a plain run of training, a test.

use crate::shared::Outcome;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use transfer_learning::{
    data::{Batch, Batching, Dataset, samples},
    nn::{
        AdamW, CrossEntropy, Error, Optimizer, Result, Schedule, Trainer,
        metric::{accuracy, predictions},
    },
    prelude::*,
};

/// UCI's digits, to learn from and to test on. They have no split of their own:
/// it is the same for all seeds.
pub fn uci_halves() -> Outcome<(Dataset, Dataset)> {
    Ok(samples::digits().split(0.5, &mut ChaCha8Rng::seed_from_u64(2026))?)
}

/// The cross entropy of a batch.
pub fn loss<M: Forward>(model: &M, batch: &Batch, cx: &mut Ctx) -> Result<Tensor> {
    let labels = batch.labels().map_err(Error::other)?;
    Ok(CrossEntropy::new().loss(&model.forward(&batch.features, cx)?, labels)?)
}

/// So many steps on a few samples.
pub fn train<M: Forward>(
    model: &mut M,
    data: &Dataset,
    rule: AdamW,
    steps: usize,
    seed: u64,
) -> Outcome {
    let loader = data.batches(Batching::new(32).shuffled(seed))?;
    let optimizer = Optimizer::new(rule).schedule(Schedule::cosine(steps as u64, 0.0));
    let epochs = steps.div_ceil(loader.len());
    Trainer::new(optimizer, epochs).seed(seed).fit(
        model,
        |epoch| loader.epoch(epoch as u64),
        loss,
    )?;
    Ok(())
}

/// Accuracy and predicted classes.
pub fn test<M: Forward>(model: &M, data: &Dataset) -> Outcome<(f64, Vec<usize>)> {
    judge(&model.forward(data.features(), &mut Ctx::eval())?, data)
}

/// The same, of logits.
pub fn judge(logits: &Tensor, data: &Dataset) -> Outcome<(f64, Vec<usize>)> {
    Ok((accuracy(logits, &data.labels()?.into())?, predictions(logits)?))
}
