//! Multi-task learning: two digits in one picture, a task for each.
//!
//! Two MNIST digits are laid side by side, overlapping; one task names the left
//! one, the other the right one (MultiMNIST in the manner of Sener and Koltun
//! 2018). One network with two heads stands beside a network of its own for each
//! task, with every balancer.
//!
//! `cargo run --release --example multi_task`
#![allow(clippy::print_stdout, unreachable_pub)]

#[path = "../shared/mod.rs"]
mod shared;

use clap::Parser;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shared::{
    Outcome,
    args::Args,
    bar,
    page::{Card, Page},
    rows::{self, Row},
    table::Table,
};
use std::{path::Path, time::Instant};
use transfer_learning::{
    data::{Dataset, samples},
    multitask::{Balance, GradientBalancer, HardSharing, LossBalancer, MultiTask, Report, Task},
    nn::{
        Act, AdamW, BatchNorm2d, Conv2d, CrossEntropy, Ctx, Error, Flatten, Linear, MaxPool2d,
        Optimizer, Schedule, Sequential, Trainer, metric::accuracy,
    },
    tensor::{Conv, Indices, Pool, Tensor},
};

type Net = HardSharing<Sequential, Linear>;

/// Pictures with two digits each.
struct Pairs {
    images: Tensor,
    labels: [Vec<usize>; 2],
}

fn main() -> Outcome {
    let args = Args::parse();
    let (train, test) = samples::mnist();
    let seeds = args.seeds();
    let (count, epochs) = if args.quick { (300, 2) } else { (2000, 8) };
    let mut report =
        Report::new(&[("left digit", "accuracy", true), ("right digit", "accuracy", true)]);
    let unseen = pairs(&test, count / 2, 99)?;
    let ways = balances();
    let bar = bar::over((seeds as usize) * (ways.len() + 1));
    let mut conflict = 0.0;
    for seed in 0..seeds {
        let seen = pairs(&train, count, seed)?;
        let start = Instant::now();
        let mut single = Vec::new();
        for task in 0..2 {
            let (net, _) = learn(&seen, &[task], None, seed, epochs)?;
            single.push(test_on(&net, &unseen, 0, task)?);
        }
        report.add("a network for each", &single, start.elapsed().as_secs_f64());
        bar.inc(1);
        for (name, balance) in &ways {
            bar.set_message(name.clone());
            let start = Instant::now();
            let (net, cosine) = learn(&seen, &[0, 1], Some(balance), seed, epochs)?;
            let both = [test_on(&net, &unseen, 0, 0)?, test_on(&net, &unseen, 1, 1)?];
            report.add(name, &both, start.elapsed().as_secs_f64());
            if name == "PCGrad" {
                conflict += cosine / seeds as f64;
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();

    println!("{report}");
    let fact = format!(
        "The gradients of both tasks were in conflict in {:.0}% of the steps.",
        100.0 * conflict
    );
    println!("{fact}");
    let mut page = Page::new("Multi-task learning: two digits in one picture");
    page.text(&fact);
    let mut table = Table::new(["way", "left", "right", "against a network for each"]);
    for (i, way) in report.tasks[0].ways.iter().enumerate() {
        let of =
            |t: usize| -> Outcome<String> { Ok(report.tasks[t].summary(&way.name)?.to_string()) };
        let gain = match i {
            0 => "-".to_owned(),
            _ => format!("{:+.2}%", 100.0 * report.delta_m(&way.name)?),
        };
        table.row([way.name.clone(), of(0)?, of(1)?, gain]);
    }
    page.table(&table);
    let mut cards = Vec::new();
    for i in 0..12 {
        let lines = vec![(format!("{} {}", unseen.labels[0][i], unseen.labels[1][i]), true)];
        let pixels = unseen.images.select(0, i)?.to_vec();
        cards.push(Card { pixels, width: 40, lines });
    }
    page.images(&cards);
    let path = Path::new("target/multi_task/index.html");
    page.save(path)?;
    println!("Pictures: {}", path.display());
    if let Some(path) = &args.json {
        let mut rows = Vec::new();
        for trials in &report.tasks {
            for way in trials.ways.iter().skip(1) {
                rows.push(Row::of(&format!("multi-task: {}", way.name), trials, &way.name)?);
            }
        }
        rows::write(path, &rows)?;
    }
    Ok(())
}

fn balances() -> Vec<(String, Balance)> {
    let losses = [
        LossBalancer::Fixed(Vec::new()),
        LossBalancer::Rlw,
        LossBalancer::Dwa { temperature: 2.0 },
    ];
    let gradients = [
        GradientBalancer::PcGrad,
        GradientBalancer::CaGrad { c: 0.4 },
        GradientBalancer::Mgda,
        GradientBalancer::UpGrad,
        GradientBalancer::Nash,
    ];
    losses
        .into_iter()
        .map(Balance::Losses)
        .chain([Balance::Uncertainty])
        .chain(gradients.map(Balance::Gradients))
        .map(|balance| (balance.name().to_owned(), balance))
        .collect()
}

/// Two digits, the second 12 pixels to the right: `[n, 1, 28, 40]`.
fn pairs(data: &Dataset, count: usize, seed: u64) -> Outcome<Pairs> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (pixels, labels) = (data.features().to_vec(), data.labels()?);
    let mut images = vec![0.0_f32; count * 28 * 40];
    let mut both = [Vec::new(), Vec::new()];
    for image in images.chunks_mut(28 * 40) {
        for (side, shift) in [0, 12].into_iter().enumerate() {
            let i = rng.random_range(0..data.len());
            both[side].push(labels[i]);
            for row in 0..28 {
                for column in 0..28 {
                    let to = &mut image[row * 40 + column + shift];
                    *to = to.max(pixels[i * 784 + row * 28 + column]);
                }
            }
        }
    }
    Ok(Pairs { images: Tensor::from_vec(images, [count, 1, 28, 40])?, labels: both })
}

fn network(heads: usize, seed: u64) -> Net {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let mut trunk = Sequential::new();
    for (from, to) in [(1, 12), (12, 24)] {
        trunk = trunk
            .push(Conv2d::new(from, to, 5, rng).options(Conv::new().padding(2)).without_bias())
            .push(BatchNorm2d::new(to))
            .push(Act::Relu)
            .push(MaxPool2d::new(Pool::new(2)));
    }
    let trunk = trunk.push(Flatten).push(Linear::new(24 * 7 * 10, 64, rng)).push(Act::Relu);
    HardSharing { trunk, heads: (0..heads).map(|_| Linear::new(64, 10, rng)).collect() }
}

/// Trains on some tasks; one alone needs no balancer. Also returns the part of
/// steps in conflict.
fn learn(
    data: &Pairs,
    tasks: &[usize],
    balance: Option<&Balance>,
    seed: u64,
    epochs: usize,
) -> Outcome<(Net, f64)> {
    const BATCH: usize = 64;
    let n = data.labels[0].len();
    let mut net = network(tasks.len(), seed);
    let steps = (epochs * n.div_ceil(BATCH)) as u64;
    let optimizer = Optimizer::new(AdamW::new(2e-3)).schedule(Schedule::cosine(steps, 0.0));
    let trainer = Trainer::new(optimizer, epochs).seed(seed);
    let batches = |epoch: usize| -> Vec<Result<Vec<usize>, Error>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed * 1000 + epoch as u64);
        let order = Indices::permutation(n, &mut rng);
        order.as_slice().chunks(BATCH).map(|rows| Ok(rows.to_vec())).collect()
    };
    let losses = |net: &Net, rows: &Vec<usize>, cx: &mut Ctx| {
        let x = data.images.index_select(0, &rows[..].into())?;
        let outputs = net.forward_all(&x, cx)?;
        let mut losses = Vec::new();
        for (output, &task) in outputs.iter().zip(tasks) {
            let labels: Vec<usize> = rows.iter().map(|&r| data.labels[task][r]).collect();
            losses.push(Some(CrossEntropy::new().loss(output, &labels.into())?));
        }
        Ok(losses)
    };
    let Some(balance) = balance else {
        trainer.fit(&mut net, batches, |net, rows, cx| {
            let mut all: Vec<Option<Tensor>> = losses(net, rows, cx)?;
            all.pop().flatten().ok_or_else(|| {
                Error::argument("single task", "losses", "none", "the loss of the task")
            })
        })?;
        return Ok((net, 0.0));
    };
    let names = [Task::classification("left"), Task::classification("right")];
    let run = MultiTask::new(&names, balance.clone()).fit(trainer, &mut net, batches, losses)?;
    Ok((net, run.conflicts[0][1]))
}

fn test_on(net: &Net, data: &Pairs, head: usize, task: usize) -> Outcome<f64> {
    let logits = net.forward_task(head, &data.images, &mut Ctx::eval())?;
    Ok(accuracy(&logits, &data.labels[task][..].into())?)
}
