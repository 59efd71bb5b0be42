//! Multi-task learning: two tasks with samples of their own, one trunk.

use super::{Section, snippet};
use crate::{
    learn::{self, uci_halves},
    net::{FEATURES, Net, encoder},
    shared::{Outcome, page::cards},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use transfer_learning::{
    data::{Batch, Batching, Pairs, samples},
    multitask::{Balance, HardSharing, MultiTask, Task},
    nn::{
        AdamW, CrossEntropy, Ctx, Error, Linear, Optimizer, Result, Schedule, Sequential, Tensor,
        Trainer, metric::Trials,
    },
};

/// Labels of each class for the task that has few.
const SHOTS: usize = 2;

pub fn run(seeds: u64, quick: bool) -> Outcome<Section> {
    let ((pool, test), (many, _)) = (uci_halves()?, samples::mnist_8x8());
    let steps = if quick { 60 } else { 300 };
    let mut trials = Trials::new("UCI digits, 2 labels a class, beside MNIST 8x8", "accuracy");
    let mut shown = Vec::new();
    for seed in 0..seeds {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (few, _) = pool.k_shot(SHOTS, rng)?;
        let start = Instant::now();
        let mut alone = Net::new(10, rng);
        learn::train(&mut alone, &few, AdamW::new(3e-3), steps, seed)?;
        trials.push("alone", learn::test(&alone, &test)?.0, start.elapsed().as_secs_f64());

        let start = Instant::now();
        let batching = Batching::new(32).shuffled(seed);
        let pairs = Pairs::new(few.batches(batching.clone())?, many.batches(batching)?);
        let epochs = steps.div_ceil(pairs.len());
        let optimizer =
            Optimizer::new(AdamW::new(3e-3)).schedule(Schedule::cosine(steps as u64, 0.0));
        let trainer = Trainer::new(optimizer, epochs).seed(seed);
        // The technique:
        let heads = [0, 1].map(|_| Linear::new(FEATURES, 10, rng)).to_vec();
        let mut net = HardSharing { trunk: encoder(rng), heads };
        let tasks = [Task::classification("UCI"), Task::classification("MNIST")];
        MultiTask::new(&tasks, Balance::Uncertainty).fit(
            trainer,
            &mut net,
            |epoch| pairs.epoch(epoch as u64),
            |net: &HardSharing<Sequential, Linear>, (uci, mnist): &(Batch, Batch), cx| {
                let loss = |task, batch: &Batch, cx: &mut Ctx| -> Result<Tensor> {
                    let logits = net.forward_task(task, &batch.features, cx)?;
                    Ok(CrossEntropy::new().loss(&logits, batch.labels().map_err(Error::other)?)?)
                };
                Ok(vec![Some(loss(0, uci, cx)?), Some(loss(1, mnist, cx)?)])
            },
        )?;
        // Until here.
        let logits = net.forward_task(0, test.features(), &mut Ctx::eval())?;
        let (accuracy, predicted) = learn::judge(&logits, &test)?;
        trials.push("with a second task", accuracy, start.elapsed().as_secs_f64());
        shown = predicted;
    }
    Ok(Section {
        name: "multi-task learning",
        story: "UCI's digits have two labels a class, MNIST's all of theirs. One network with a \
                head for each learns both at once, losses weighted by their uncertainty; the \
                baseline learns UCI's alone.",
        trials,
        way: "with a second task",
        code: snippet(include_str!("multi_task.rs")),
        cards: cards(&test, &shown, 12)?,
    })
}
