//! Meta-learning: learning to learn new classes from one sample each.

use super::{Section, snippet};
use crate::{
    net::encoder,
    shared::{Outcome, page::Card},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use transfer_learning::{
    data::{Targets, samples},
    maml::{
        Episodes, FewShot, Nearest, Predict, Protocol, Prototypes, Report, TaskSource, Tasks,
        evaluate, split_classes,
    },
    nn::{AdamW, Flatten, Optimizer, Schedule, Trainer, metric::predictions},
};

const WAY: &str = "ProtoNet";

pub fn run(seeds: u64, quick: bool) -> Outcome<Section> {
    let (first, second) = samples::mnist_8x8();
    let digits = first.concat(&second)?;
    let (steps, tasks) = if quick { (20, 20) } else { (200, 100) };
    let mut report = Report::new("MNIST 8x8, five unseen digits, 1 sample each");
    let mut cards = Vec::new();
    for seed in 0..seeds {
        let parts = split_classes(&digits, &[5, 5], seed)?;
        let unseen = Tasks::from_labels(&parts[1])?.way(5).shot(1).query(15);
        let test =
            |m: &dyn Predict| evaluate(m, &unseen, tasks, 1_000_000 + seed, Protocol::Inductive);
        let start = Instant::now();
        let pixels = FewShot { encoder: Flatten, head: Nearest::default() };
        let reached = test(&pixels.predictor())?;
        report.add("nearest on pixels", reached, start.elapsed().as_secs_f64());

        let (start, rng) = (Instant::now(), &mut ChaCha8Rng::seed_from_u64(seed));
        let optimizer =
            Optimizer::new(AdamW::new(2e-3)).schedule(Schedule::cosine(steps as u64, 0.0));
        let trainer = Trainer::new(optimizer, 1).seed(seed);
        // The technique:
        let mut net = FewShot { encoder: encoder(rng), head: Prototypes };
        let practice = Tasks::from_labels(&parts[0])?.way(5).shot(1).query(10);
        net.fit(trainer, Episodes::new(&practice, 1, steps).seed(seed))?;
        // Until here.
        report.add(WAY, test(&net.predictor())?, start.elapsed().as_secs_f64());
        if seed == 0 {
            let task = unseen.task(2026, 0)?;
            let outputs = net.predictor().predict(&task, Protocol::Inductive)?;
            let said = outputs.last().map(|(_, logits)| predictions(logits)).transpose()?;
            let names = match &task.query.targets {
                Targets::Classes { names, .. } => names.to_vec(),
                _ => Vec::new(),
            };
            let truth = task.query.labels()?;
            for (i, &said) in said.unwrap_or_default().iter().enumerate().step_by(6) {
                let pixels = task.query.features.select(0, i)?.to_vec();
                cards.push(Card::named(pixels, 8, &names, said, truth.as_slice()[i]));
            }
        }
    }
    Ok(Section {
        name: "meta-learning",
        story: "The network practises on tasks of five digits, then gets one picture of each of \
                the five others. The baseline is the nearest picture.",
        trials: report.trials,
        way: WAY,
        code: snippet(include_str!("few_shot.rs")),
        cards,
    })
}
