//! Self-supervised learning: many samples without labels, few with.

use super::{Section, snippet};
use crate::{
    learn::{self, uci_halves},
    net::{Net, encoder},
    shared::{Outcome, page::cards},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use transfer_learning::{
    data::{
        Dataset,
        transform::{Compose, GaussianNoise, RandomAffine},
    },
    finetune::{extract, linear_probe},
    nn::{AdamW, metric::Trials, shallow::Pca},
    prelude::*,
    ssl::{Method, Pretrain},
};

pub fn run(seeds: u64, quick: bool) -> Outcome<Section> {
    let (pool, test) = uci_halves()?;
    let (epochs, steps) = if quick { (3, 60) } else { (40, 200) };
    let mut trials = Trials::new("UCI digits, 1 label a class", "accuracy");
    let mut shown = Vec::new();
    let probe = |few: &Dataset, test: &Dataset| -> Outcome<(f64, Vec<usize>)> {
        learn::test(&linear_probe(few, 0)?, test)
    };
    for seed in 0..seeds {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (few, _) = pool.k_shot(1, rng)?;
        let start = Instant::now();
        let mut scratch = Net::new(10, rng);
        learn::train(&mut scratch, &few, AdamW::new(3e-3), steps, seed)?;
        let reached = learn::test(&scratch, &test)?.0;
        trials.push("from scratch", reached, start.elapsed().as_secs_f64());

        let start = Instant::now();
        let pca = Pca::fit(&pool.features().flatten(1, -1)?, 50)?;
        let components = |data: &Dataset| -> Outcome<Dataset> {
            Ok(data.with_features(&pca.transform(&data.features().flatten(1, -1)?)?)?)
        };
        let reached = probe(&components(&few)?, &components(&test)?)?.0;
        trials.push("principal components", reached, start.elapsed().as_secs_f64());

        let start = Instant::now();
        // The technique:
        let mut encoder = encoder(rng);
        let views = Compose::new()
            .then(RandomAffine::new().degrees(15.0).translate(0.1).scale(0.8, 1.2))
            .then(GaussianNoise::new(0.05));
        let pretrain = Pretrain::new(Method::simclr()).epochs(epochs).batch(128).seed(seed);
        pretrain.fit(&mut encoder, &pool, &views)?;
        let features = |data| extract(data, 256, |x, cx| encoder.forward(x, cx));
        let head = linear_probe(&features(&few)?, 0)?;
        // Until here.
        let (accuracy, predicted) = learn::test(&head, &features(&test)?)?;
        trials.push("SimCLR + linear probe", accuracy, start.elapsed().as_secs_f64());
        shown = predicted;
    }
    Ok(Section {
        name: "self-supervised learning",
        story: "Nine hundred digits without labels and one label a class. The encoder learns from \
                two distorted views of each picture; the baseline has the labels alone.",
        trials,
        way: "SimCLR + linear probe",
        code: snippet(include_str!("self_supervised.rs")),
        cards: cards(&test, &shown, 12)?,
    })
}
