//! Self-supervised learning: many garments without labels, a few with.
//!
//! An encoder learns from 1,500 unlabelled pictures; then logistic regression on
//! its features gets 1, 5 or 20 labels of each class. Beside it stand the same
//! network trained from scratch on the labels alone, principal components, and
//! the encoder with random weights.
//!
//! `cargo run --release --example self_supervised`
#![allow(clippy::print_stdout, unreachable_pub)]

#[path = "../shared/mod.rs"]
mod shared;

use clap::Parser;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use shared::{
    Outcome,
    args::Args,
    bar,
    page::Page,
    rows::{self, Row},
    table::Table,
};
use std::{path::Path, time::Instant};
use transfer_learning::{
    data::{
        Batching, Dataset, samples,
        transform::{Compose, GaussianNoise, RandomAffine, RandomErase, RandomFlip},
    },
    nn::{
        Act, AdamW, BatchNorm2d, Conv2d, CrossEntropy, Ctx, Error, Flatten, Forward, Linear,
        MaxPool2d, Optimizer, Schedule, Sequential, Trainer,
        metric::{Trials, accuracy},
        shallow::{LogisticRegression, Pca},
    },
    ssl::{Method, Pretrain},
    tensor::{Conv, Pool, Tensor},
};

/// Features before the head.
const FEATURES: usize = 32 * 3 * 3;

type Named = (&'static str, fn() -> Method);

const METHODS: [Named; 4] = [
    ("SimCLR", Method::simclr),
    ("VICReg", Method::vicreg),
    ("Barlow Twins", Method::barlow_twins),
    ("BYOL", Method::byol),
];

fn main() -> Outcome {
    let args = Args::parse();
    let (train, test) = samples::fashion_mnist();
    let shots: &[usize] = if args.quick { &[5] } else { &[1, 5, 20] };
    let epochs = if args.quick { 1 } else { 15 };
    let seeds = args.seeds();
    let name = |k: usize| format!("garments (Fashion-MNIST), {k} labels a class");
    let mut all: Vec<Trials> = shots.iter().map(|&k| Trials::new(&name(k), "accuracy")).collect();
    let bar = bar::over(seeds as usize);
    for seed in 0..seeds {
        let few: Vec<Dataset> = shots
            .iter()
            .map(|&k| Ok(train.k_shot(k, &mut ChaCha8Rng::seed_from_u64(seed))?.0))
            .collect::<Outcome<_>>()?;
        let start = Instant::now();
        for (few, trials) in few.iter().zip(&mut all) {
            let reached = scratch(few, &test, seed, args.quick)?;
            trials.push("from scratch", reached, start.elapsed().as_secs_f64());
        }
        let start = Instant::now();
        let pca = Pca::fit(&flat(train.features())?, 50)?;
        let components = |x: &Tensor| Ok(pca.transform(&flat(x)?)?);
        probe("principal components + logistic", &few, &test, &components, start, &mut all)?;
        let random = encoder(seed);
        let features = |x: &Tensor| -> Outcome<Tensor> { Ok(random.forward(x, &mut Ctx::eval())?) };
        probe("random encoder + logistic", &few, &test, &features, Instant::now(), &mut all)?;
        for (name, method) in METHODS {
            bar.set_message(name);
            let start = Instant::now();
            let mut net = encoder(seed);
            let run = Pretrain::new(method()).epochs(epochs).batch(128).seed(seed);
            run.fit(&mut net, &train, &views())?;
            let features =
                |x: &Tensor| -> Outcome<Tensor> { Ok(net.forward(x, &mut Ctx::eval())?) };
            probe(&format!("{name} + logistic"), &few, &test, &features, start, &mut all)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();

    let mut page = Page::new("Self-supervised learning: garments without labels");
    let mut rows = Vec::new();
    for trials in &all {
        println!("\n{trials}");
        page.heading(&trials.data);
        let mut table = Table::new(["way", "accuracy", "against the first"]);
        for (i, way) in trials.ways.iter().enumerate() {
            let verdict = match i {
                0 => "-".to_owned(),
                _ => trials.verdict(&way.name)?.to_string(),
            };
            table.row([way.name.clone(), trials.summary(&way.name)?.to_string(), verdict]);
            if i > 0 {
                let technique = format!("self-supervised: {}", way.name);
                rows.push(Row::of(&technique, trials, &way.name)?);
            }
        }
        page.table(&table);
    }
    let path = Path::new("target/self_supervised/index.html");
    page.save(path)?;
    println!("Tables: {}", path.display());
    if let Some(path) = &args.json {
        rows::write(path, &rows)?;
    }
    Ok(())
}

/// Small shifts and turns, mirror images, noise, a piece missing.
fn views() -> Compose {
    Compose::new()
        .then(RandomAffine::new().degrees(10.0).translate(0.1).scale(0.8, 1.2))
        .then(RandomFlip::horizontal())
        .then(RandomErase::new().area(0.05, 0.2))
        .then(GaussianNoise::new(0.05))
}

fn encoder(seed: u64) -> Sequential {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let mut net = Sequential::new();
    for (from, to) in [(1, 16), (16, 32), (32, 32)] {
        net = net
            .push(Conv2d::new(from, to, 3, rng).options(Conv::new().padding(1)).without_bias())
            .push(BatchNorm2d::new(to))
            .push(Act::Relu)
            .push(MaxPool2d::new(Pool::new(2)));
    }
    net.push(Flatten)
}

fn flat(x: &Tensor) -> Outcome<Tensor> {
    Ok(x.flatten(1, -1)?)
}

/// Logistic regression on features, for every number of labels.
fn probe(
    name: &str,
    few: &[Dataset],
    test: &Dataset,
    features: &dyn Fn(&Tensor) -> Outcome<Tensor>,
    start: Instant,
    all: &mut [Trials],
) -> Outcome {
    let unseen = features(test.features())?.detach();
    for (few, trials) in few.iter().zip(all) {
        let x = features(few.features())?.detach();
        let fit = LogisticRegression::new().fit(&x, few.labels()?, few.classes())?;
        let reached = accuracy(&fit.logits(&unseen)?, &test.labels()?.into())?;
        trials.push(name, reached, start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// The same network and a head on the labels alone, with the same views.
fn scratch(few: &Dataset, test: &Dataset, seed: u64, quick: bool) -> Outcome<f64> {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let mut net = encoder(seed).push(Linear::new(FEATURES, few.classes(), rng));
    let loader = few.batches(Batching::new(32).shuffled(seed))?.transform(views());
    let steps = if quick { 20 } else { 200 };
    let optimizer = Optimizer::new(AdamW::new(3e-3)).schedule(Schedule::cosine(steps, 0.0));
    let epochs = (steps as usize).div_ceil(loader.len());
    Trainer::new(optimizer, epochs).seed(seed).fit(
        &mut net,
        |epoch| loader.epoch(epoch as u64),
        |net, batch, cx| {
            let labels = batch.labels().map_err(Error::other)?;
            Ok(CrossEntropy::new().loss(&net.forward(&batch.features, cx)?, labels)?)
        },
    )?;
    let logits = net.forward(test.features(), &mut Ctx::eval())?;
    Ok(accuracy(&logits, &test.labels()?.into())?)
}
