//! Digits and half of the garments, then the other half.

use super::shared::{Outcome, args::Args, bar};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use transfer_learning::{
    data::{Dataset, samples},
    finetune::{
        Extract, FineTune, FineTuneReport, LoraConfig, Method, Probe, Statistics, peft,
        probe_by_layer, rank_checkpoints,
    },
    nn::{Act, BatchNorm2d, Conv2d, Flatten, GlobalAvgPool, Linear, MaxPool2d, Sequential},
    prelude::*,
    tensor::{Conv, Pool},
};

/// Garments that are learned first; the others are the target.
const FIRST: [usize; 5] = [1, 3, 5, 7, 9];
const SHOTS: usize = 10;

pub fn run(args: &Args) -> Outcome<Vec<(String, FineTuneReport)>> {
    let (train, test) = samples::fashion_mnist();
    let (digits, _) = samples::mnist();
    let (source, _) = halves(&train)?;
    let ((_, target), (_, test)) = (halves(&train)?, halves(&test)?);
    let seeds = args.seeds();
    let bar = bar::over(seeds as usize + 1);
    bar.set_message("learning digits and half of the garments");
    let pretrained = pretrain(&joined(&digits, &source)?, args.quick)?;
    bar.inc(1);

    let data = format!("half of the garments, {SHOTS} labels a class");
    let mut report = FineTuneReport::new(&data);
    for seed in 0..seeds {
        bar.set_message("adapting");
        let rng = || ChaCha8Rng::seed_from_u64(seed);
        let (few, _) = target.k_shot(SHOTS, &mut rng())?;
        let epochs = if args.quick { 6 } else { 60 };
        let tune = |method| FineTune::new(method, "fc.**").epochs(epochs).batch(16).seed(seed);
        let fresh = || with_head(&pretrained, Linear::new(64, few.classes(), &mut rng()));

        report.run("from scratch", &test, || {
            let mut net = network(few.classes(), &mut rng());
            tune(Method::Full { body_rate: 1.0 }).fit(&mut net, &few)?;
            Ok(net)
        })?;
        let probe = || -> transfer_learning::finetune::Result<Linear> {
            let features = Extract::new().layer("pool").run(&pretrained, &few)?;
            transfer_learning::finetune::linear_probe(&features, seed)
        };
        report.run("linear probe", &test, || {
            let mut net = with_head(&pretrained, probe()?);
            let _ = net.freeze("**")?;
            let _ = net.unfreeze("fc.**")?;
            Ok(net)
        })?;
        report.run("LP-FT", &test, || {
            let mut net = with_head(&pretrained, probe()?);
            let tune = tune(Method::Full { body_rate: 0.3 }).statistics(Statistics::Keep);
            tune.lr(1e-3).fit(&mut net, &few)?;
            Ok(net)
        })?;
        report.run("LoRA", &test, || {
            let mut net = with_head(&pretrained, probe()?);
            let config = LoraConfig::new(["conv1", "conv2", "conv3"]).rank(4).train(["fc"]);
            peft::attach(&mut net, "garments", config, seed)?;
            tune(Method::AsIs).lr(3e-3).fit(&mut net, &few)?;
            Ok(net)
        })?;
        report.run("full, new head", &test, || {
            let mut net = fresh();
            tune(Method::Full { body_rate: 0.3 }).fit(&mut net, &few)?;
            Ok(net)
        })?;
        if seed == 0 {
            bar.suspend(|| facts(&pretrained, &few))?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(vec![("small".to_owned(), report)])
}

/// What can be known before training: which layer, and which network.
fn facts(pretrained: &Sequential, few: &Dataset) -> Outcome {
    let (train, validation) = few.split(0.6, &mut ChaCha8Rng::seed_from_u64(0))?;
    let layers = ["conv1", "conv2", "conv3", "pool"];
    let extract = Extract::new();
    let both = [&train, &validation];
    let report = probe_by_layer(pretrained, both, &layers, &Probe::logistic(), &extract, 0)?;
    println!("Probes on a part of the labels, tested on the rest:\n{report}");
    let random = network(2, &mut ChaCha8Rng::seed_from_u64(7));
    let extract = Extract::new().layer("pool");
    let (known, new) = (extract.run(pretrained, few)?, extract.run(&random, few)?);
    println!("Transferability without training:");
    for p in rank_checkpoints(&[("pre-trained", &known), ("random", &new)])? {
        println!("  {}: LogME {:.3}, H-score {:.2}", p.name, p.log_me, p.h_score);
    }
    println!();
    Ok(())
}

/// The garments that are learned first, and the others.
fn halves(garments: &Dataset) -> Outcome<(Dataset, Dataset)> {
    let part = |first: bool| -> Outcome<Dataset> {
        let chosen: Vec<usize> = (0..10).filter(|c| FIRST.contains(c) == first).collect();
        let labels = garments.labels()?;
        let at: Vec<usize> = (0..garments.len()).filter(|&i| chosen.contains(&labels[i])).collect();
        let own = |i: &usize| chosen.iter().position(|c| *c == labels[*i]).unwrap_or(0);
        let new: Vec<usize> = at.iter().map(own).collect();
        let names: Vec<String> =
            chosen.iter().map(|&c| garments.class_names()[c].clone()).collect();
        let features = garments.select(&at)?.features().clone();
        Ok(Dataset::classification(features, new, names)?)
    };
    Ok((part(true)?, part(false)?))
}

/// Digits, and garments as further classes.
fn joined(digits: &Dataset, garments: &Dataset) -> Outcome<Dataset> {
    let features = Tensor::cat(&[digits.features(), garments.features()], 0)?;
    let more = digits.classes();
    let labels = digits.labels()?.iter().copied();
    let labels = labels.chain(garments.labels()?.iter().map(|y| y + more)).collect();
    let names: Vec<String> =
        digits.class_names().iter().chain(garments.class_names()).cloned().collect();
    Ok(Dataset::classification(features, labels, names)?)
}

/// Three convolutions and a mean: 24,000 parameters.
fn network(classes: usize, rng: &mut ChaCha8Rng) -> Sequential {
    let mut net = Sequential::new();
    for (i, (from, to)) in [(1, 16), (16, 32), (32, 64)].into_iter().enumerate() {
        let conv = Conv2d::new(from, to, 3, rng).options(Conv::new().padding(1)).without_bias();
        net = net
            .named(&format!("conv{}", i + 1), conv)
            .named(&format!("bn{}", i + 1), BatchNorm2d::new(to))
            .push(Act::Relu);
        if i < 2 {
            net = net.push(MaxPool2d::new(Pool::new(2)));
        }
    }
    net.push(GlobalAvgPool).named("pool", Flatten).named("fc", Linear::new(64, classes, rng))
}

fn with_head(net: &Sequential, head: Linear) -> Sequential {
    let mut net = net.clone();
    let _ = net.replace("fc", head);
    net
}

fn pretrain(data: &Dataset, quick: bool) -> Outcome<Sequential> {
    let mut net = network(data.classes(), &mut ChaCha8Rng::seed_from_u64(2026));
    let tune = FineTune::new(Method::Full { body_rate: 1.0 }, "fc.**");
    tune.epochs(if quick { 1 } else { 12 }).batch(64).seed(2026).fit(&mut net, data)?;
    Ok(net)
}
