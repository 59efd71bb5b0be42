//! Knowledge distillation: a small network learns from a large one.

use super::{Section, snippet};
use crate::{
    learn,
    net::Net,
    shared::{Outcome, page::cards},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use transfer_learning::{
    data::samples,
    distill::{Distill, NO_TEACHER},
    nn::{Act, AdamW, Flatten, Linear, Sequential, metric::Trials},
};

fn student(seed: u64) -> Sequential {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    Sequential::new()
        .push(Flatten)
        .push(Linear::new(64, 32, rng))
        .push(Act::Relu)
        .push(Linear::new(32, 10, rng))
}

pub fn run(seeds: u64, quick: bool) -> Outcome<Section> {
    let (train, test) = samples::mnist_8x8();
    let mut teacher = Net::new(10, &mut ChaCha8Rng::seed_from_u64(1000));
    learn::train(&mut teacher, &train, AdamW::new(3e-3), if quick { 60 } else { 400 }, 1000)?;
    let epochs = if quick { 4 } else { 40 };
    let all = train.without_targets();
    let mut trials = Trials::new("MNIST 8x8, 5 labels a class, all pictures", "accuracy");
    let mut shown = Vec::new();
    for seed in 0..seeds {
        let (few, _) = train.k_shot(5, &mut ChaCha8Rng::seed_from_u64(seed))?;
        // As many steps for both.
        let longer = epochs * train.len().div_ceil(64) / few.len().div_ceil(64);
        let start = Instant::now();
        let mut alone = student(seed);
        let plain = Distill::kd(4.0).seed(seed).without_teacher().budget(longer, 64);
        plain.fit(&teacher, &mut alone, &few)?;
        trials.push(NO_TEACHER, learn::test(&alone, &test)?.0, start.elapsed().as_secs_f64());

        let start = Instant::now();
        // The technique:
        let mut student = student(seed);
        let distill = Distill::kd(4.0).hard(0.0).budget(epochs, 64).seed(seed);
        distill.fit(&teacher, &mut student, &all)?;
        // Until here.
        let (accuracy, predicted) = learn::test(&student, &test)?;
        trials.push("KD, no labels", accuracy, start.elapsed().as_secs_f64());
        shown = predicted;
    }
    Ok(Section {
        name: "knowledge distillation",
        story: "A convolutional network that knows digits well teaches a perceptron of 2,410 \
                numbers on pictures without labels; the baseline learns from five labels a class.",
        trials,
        way: "KD, no labels",
        code: snippet(include_str!("distill.rs")),
        cards: cards(&test, &shown, 12)?,
    })
}
