//! Rows of a table: SCARF and VIME with 5 % of the labels.

use crate::{
    judge::{Scaled, probe},
    shared::Outcome,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use transfer_learning::{
    data::{Batching, Dataset, transform::Standardise},
    nn::{
        Act, AdamW, CrossEntropy, Ctx, Error, Forward, Linear, Optimizer, Schedule, Sequential,
        Trainer,
        metric::{Trials, accuracy},
    },
    ssl::{Method, Pretrain, Same, Scarf, Views},
    tensor::Tensor,
};

const WIDTH: usize = 64;

fn encoder(inputs: usize, seed: u64) -> Sequential {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    Sequential::new()
        .push(Linear::new(inputs, WIDTH, rng))
        .push(Act::Relu)
        .push(Linear::new(WIDTH, WIDTH, rng))
        .push(Act::Relu)
}

/// A twentieth of each class, two at least.
fn few(train: &Dataset, seed: u64) -> Outcome<Dataset> {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let least = train.class_counts()?.into_iter().min().unwrap_or(0);
    Ok(train.k_shot((least / 20).max(2), rng)?.0)
}

/// One seed: another split, other labels, another network.
pub fn run(table: &Dataset, seed: u64, quick: bool, trials: &mut Trials) -> Outcome {
    let (train, test) = table.split(0.7, &mut ChaCha8Rng::seed_from_u64(100 + seed))?;
    let scale = Standardise::fit(train.features())?;
    let scaled = |data: &Dataset| -> Outcome<Dataset> {
        Ok(data.with_features(&scale.transform(data.features())?)?)
    };
    let (train, test) = (scaled(&train)?, scaled(&test)?);
    let few = few(&train, seed)?;
    let inputs = train.sample_shape()[0];
    let epochs = if quick { 2 } else { 100 };

    let start = Instant::now();
    let reached = supervised(&encoder(inputs, seed), &few, &test, seed, quick)?;
    trials.push("from scratch", reached, start.elapsed().as_secs_f64());
    let judge = |name: &str, net: Option<&Sequential>, start: Instant, trials: &mut Trials| {
        let features = |x: &Tensor| -> Outcome<Tensor> {
            match net {
                Some(net) => Ok(net.forward(x, &mut Ctx::eval())?.detach()),
                None => Ok(x.clone()),
            }
        };
        let scaled = Scaled::new(&features, train.features())?;
        let reached = probe(&few, &test, &scaled, &scaled.of(test.features())?)?;
        trials.push(name, reached, start.elapsed().as_secs_f64());
        Outcome::Ok(())
    };
    judge("logistic on the columns", None, Instant::now(), trials)?;
    judge("random encoder + logistic", Some(&encoder(inputs, seed)), Instant::now(), trials)?;
    for (name, method) in [("SCARF", Method::scarf()), ("VIME", Method::vime())] {
        let start = Instant::now();
        let mut net = encoder(inputs, seed);
        let scarf = Scarf::new(&train)?;
        let views = if name == "SCARF" { Views::pair(&Same, &scarf) } else { Views::of(&Same) };
        Pretrain::new(method).epochs(epochs).batch(128).seed(seed).fit(&mut net, &train, views)?;
        judge(&format!("{name} + logistic"), Some(&net), start, trials)?;
        let reached = supervised(&net, &few, &test, seed, quick)?;
        let name = format!("{name}, fine-tuned");
        trials.push(&name, reached, start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// The whole network on the labels.
fn supervised(
    encoder: &Sequential,
    few: &Dataset,
    test: &Dataset,
    seed: u64,
    quick: bool,
) -> Outcome<f64> {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let mut net = encoder.clone().push(Linear::new(WIDTH, few.classes(), rng));
    let loader = few.batches(Batching::new(32).shuffled(seed))?;
    let epochs = if quick { 5 } else { 100 };
    let schedule = Schedule::cosine((epochs * loader.len()) as u64, 0.0);
    let optimizer = Optimizer::new(AdamW::new(1e-3)).schedule(schedule);
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
