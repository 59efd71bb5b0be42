//! A network that learned photographs, made good at garments.
//!
//! EfficientNet-Lite0 knows ImageNet. With 5 or 20 labelled garments of each
//! kind (Fashion-MNIST): a linear probe on its frozen features, and fine-tuning
//! of all of it after the probe (LP-FT). Beside them a small network trained from
//! scratch and logistic regression on pixels, which need no ImageNet.
//!
//! The weights are fetched once, by `tools/fetch-models`; then
//! `cargo run --release --example finetune`
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
    page::{self, Page},
    rows::{self, Row},
    table::Table,
};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};
use transfer_learning::{
    data::{
        Batching, Dataset, samples,
        transform::{Compose, RandomAffine, RandomFlip},
    },
    finetune::{FineTune, Method, extract, h_score, linear_probe, log_me},
    models::{Backbone, EfficientNetLite, EfficientNetLiteConfig},
    nn::{
        Act, AdamW, BatchNorm2d, Conv2d, CrossEntropy, Error, Flatten, Linear, MaxPool2d,
        Optimizer, Schedule, Sequential, Trainer,
        metric::{Trials, accuracy, predictions},
    },
    prelude::*,
    tensor::{Conv, Pool},
};

/// Pictures of 28 are enlarged to this: a twelfth of the work of ImageNet's 224.
const SIDE: usize = 64;

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    shared: Args,
    /// The weights, as `tools/fetch-models` leaves them.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/models/efficientnet-lite0.safetensors"
    )]
    weights: PathBuf,
}

fn main() -> Outcome {
    let flags = Flags::parse();
    let args = &flags.shared;
    if !flags.weights.is_file() {
        let path = flags.weights.display();
        return Err(format!("{path} is not there: run tools/fetch-models first").into());
    }
    let config = EfficientNetLiteConfig::lite0();
    let pretrained = EfficientNetLite::from_safetensors(&config, &flags.weights)?;
    let (train, test) = data(args.quick)?;
    let shots: &[usize] = if args.quick { &[5] } else { &[5, 20] };
    let seeds = args.seeds();
    let bar = bar::over(shots.len() * seeds as usize + 1);

    bar.set_message("features");
    let start = Instant::now();
    let features = |data: &Dataset| {
        extract(data, 32, |x, cx| pretrained.features(&large(x, &pretrained)?, cx))
    };
    let (train_features, test_features) = (features(&train)?, features(&test)?);
    let per_image = start.elapsed().as_secs_f64() / (train.len() + test.len()) as f64;
    let promise = [
        ("EfficientNet-Lite0", train_features.features().clone()),
        ("pixels", train.features().flatten(1, -1)?),
    ]
    .map(|(name, x)| -> Outcome<String> {
        let (labels, classes) = (train.labels()?, train.classes());
        let (log_me, h) = (log_me(&x, labels, classes)?, h_score(&x, labels, classes, 0.1)?);
        Ok(format!("{name}: LogME {log_me:.3}, H-score {h:.2}"))
    });
    bar.inc(1);

    let mut all = Vec::new();
    let mut shown = Vec::new();
    for &k in shots {
        let mut trials = Trials::new(&format!("garments, {k} labels a class"), "accuracy");
        for seed in 0..seeds {
            bar.set_message(format!("{k} labels a class"));
            let rng = || ChaCha8Rng::seed_from_u64(seed);
            let (few, _) = train.k_shot(k, &mut rng())?;
            let start = Instant::now();
            let net = scratch(&few, seed, args.quick)?;
            let logits = net.forward(test.features(), &mut Ctx::eval())?;
            push(&mut trials, "from scratch", &logits, &test, start)?;

            let flat = |data: &Dataset| -> Outcome<Dataset> {
                Ok(data.with_features(&data.features().flatten(1, -1)?)?)
            };
            let start = Instant::now();
            let head = linear_probe(&flat(&few)?, seed)?;
            let logits = head.forward(flat(&test)?.features(), &mut Ctx::eval())?;
            push(&mut trials, "logistic on pixels", &logits, &test, start)?;

            // The same samples, as features.
            let (few_features, _) = train_features.k_shot(k, &mut rng())?;
            let start = Instant::now();
            let head = linear_probe(&few_features, seed)?;
            let logits = head.forward(test_features.features(), &mut Ctx::eval())?;
            push(&mut trials, "linear probe", &logits, &test, start)?;

            let start = Instant::now();
            let mut model = pretrained.clone();
            *model.head_mut() = head;
            let method = Method::Full { body_rate: 0.3 };
            let tune = FineTune { keep_statistics: true, ..FineTune::new(method, "_fc.**") };
            let epochs = if args.quick { 1 } else { 5 };
            let large_few = few.with_features(&large(few.features(), &pretrained)?)?;
            tune.epochs(epochs).lr(1e-3).seed(seed).fit(&mut model, &large_few)?;
            let logits = extract(&test, 32, |x, cx| model.forward(&large(x, &pretrained)?, cx))?;
            push(&mut trials, "LP-FT", logits.features(), &test, start)?;
            shown = predictions(logits.features())?;
            bar.inc(1);
        }
        all.push(trials);
    }
    bar.finish_and_clear();

    let mut page = Page::new("A network that learned photographs, made good at garments");
    let mut rows = Vec::new();
    let facts = format!("Features take {:.1} ms an image.", per_image * 1e3);
    println!("{facts} Transferability without training:");
    page.text(&facts);
    for line in promise {
        let line = line?;
        println!("  {line}");
        page.text(&line);
    }
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
            if i > 1 {
                rows.push(Row::of(&format!("fine-tuning: {}", way.name), trials, &way.name)?);
            }
        }
        page.table(&table);
    }
    page.text("Test samples, and what the fine-tuned network says of them:");
    page.images(&page::cards(&test, &shown, 24)?);
    let path = Path::new("target/finetune/index.html");
    page.save(path)?;
    println!("Tables and predictions: {}", path.display());
    if let Some(path) = &args.json {
        rows::write(path, &rows)?;
    }
    Ok(())
}

fn data(quick: bool) -> Outcome<(Dataset, Dataset)> {
    let (train, test) = samples::fashion_mnist();
    if !quick {
        return Ok((train, test));
    }
    let rng = &mut ChaCha8Rng::seed_from_u64(2026);
    Ok((train.k_shot(8, rng)?.0, test.k_shot(5, rng)?.0))
}

/// Grey pictures as the network knows them: larger, in three channels, around 0.
fn large(x: &Tensor, model: &EfficientNetLite) -> transfer_learning::nn::Result<Tensor> {
    model.preprocess().standardise(&x.resize_bilinear([SIDE, SIDE], false)?)
}

fn push(
    trials: &mut Trials,
    way: &str,
    logits: &Tensor,
    test: &Dataset,
    start: Instant,
) -> Outcome {
    let reached = accuracy(logits, &test.labels()?.into())?;
    trials.push(way, reached, start.elapsed().as_secs_f64());
    Ok(())
}

/// A small convolutional network on the labels alone, with distorted copies.
fn scratch(few: &Dataset, seed: u64, quick: bool) -> Outcome<Sequential> {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let mut net = Sequential::new();
    for (from, to) in [(1, 16), (16, 32), (32, 64)] {
        net = net
            .push(Conv2d::new(from, to, 3, rng).options(Conv::new().padding(1)).without_bias())
            .push(BatchNorm2d::new(to))
            .push(Act::Relu)
            .push(MaxPool2d::new(Pool::new(2)));
    }
    let mut net = net.push(Flatten).push(Linear::new(64 * 9, few.classes(), rng));
    let views = Compose::new()
        .then(RandomAffine::new().degrees(10.0).translate(0.1).scale(0.9, 1.1))
        .then(RandomFlip::horizontal());
    let loader = few.batches(Batching::new(32).shuffled(seed))?.transform(views);
    let steps = if quick { 20 } else { 400 };
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
    Ok(net)
}
