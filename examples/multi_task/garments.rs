//! Two sets of pictures, a task for each.

use crate::{
    Study,
    learn::{Budget, Net, conv_trunk},
    shared::{Outcome, args::Args, bar},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use transfer_learning::{
    data::{Batching, Dataset, Loader, read::idx, samples},
    multitask::{
        Balance, GradientBalancer, HardSharing, MultiTask, Report, SINGLE, Sampling, Task, TaskMix,
    },
    nn::{CrossEntropy, Ctx, Error, Linear, metric::accuracy},
};

pub fn study(args: &Args) -> Outcome<Study> {
    let full = args.data.as_deref();
    let (mnist, fashion) = match full {
        Some(folder) => (read(folder, "mnist", "")?, read(folder, "fashion-mnist", ".gz")?),
        None => (samples::mnist(), samples::fashion_mnist()),
    };
    let size = if args.quick { 200 } else { full.map_or(1_200, |_| 10_000) };
    let epochs = if args.quick { 1 } else { full.map_or(6, |_| 3) };
    let sets = [mnist, fashion];
    let ways = [
        ("in turn, by size", Sampling::Proportional, Balance::equal()),
        ("in turn, alike", Sampling::Uniform, Balance::equal()),
        ("together, equal", Sampling::Together, Balance::equal()),
        ("together, uncertainty", Sampling::Together, Balance::Uncertainty),
        ("together, UPGrad", Sampling::Together, Balance::Gradients(GradientBalancer::UpGrad)),
    ];
    let tasks = [
        ("MNIST beside Fashion-MNIST", "accuracy", true),
        ("Fashion-MNIST beside MNIST", "accuracy", true),
    ];
    let (mut report, seeds) = (Report::new(&tasks), args.seeds());
    let bar = bar::over(seeds as usize * (ways.len() + 1));
    for seed in 0..seeds {
        // Garments have a quarter of the digits' samples.
        let few = |task: usize| if task == 0 { size } else { size / 4 };
        let mut parts = Vec::new();
        for (task, (train, _)) in sets.iter().enumerate() {
            let per_class = few(task) / 10;
            parts.push(train.k_shot(per_class, &mut ChaCha8Rng::seed_from_u64(seed))?.0);
        }
        let start = std::time::Instant::now();
        let mut alone = Vec::new();
        for (task, (_, own)) in sets.iter().enumerate() {
            let net = learn(&parts, &[task], None, seed, epochs)?;
            alone.push(test(&net, 0, own)?);
        }
        report.add(SINGLE, &alone, start.elapsed().as_secs_f64());
        bar.inc(1);
        for (name, sampling, balance) in &ways {
            let start = std::time::Instant::now();
            let net = learn(&parts, &[0, 1], Some((*sampling, balance)), seed, epochs)?;
            let both = [test(&net, 0, &sets[0].1)?, test(&net, 1, &sets[1].1)?];
            report.add(name, &both, start.elapsed().as_secs_f64());
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let about = format!(
        "{size} digits and {} garments, a shared trunk of two convolutions and 64 features; every \
         way sees each sample about {epochs} times.",
        size / 4
    );
    Ok(Study {
        title: "Digits and garments, a data set for each task",
        about,
        report,
        notes: Vec::new(),
    })
}

fn read(folder: &Path, set: &str, end: &str) -> Outcome<(Dataset, Dataset)> {
    let part = |part: &str| -> Outcome<Dataset> {
        let file = |kind| folder.join(set).join(format!("{part}-{kind}-ubyte{end}"));
        let names = (0..10).map(|d| d.to_string());
        Ok(idx::labelled_images(file("images-idx3"), file("labels-idx1"), names)?)
    };
    Ok((part("train")?, part("t10k")?))
}

fn learn(
    parts: &[Dataset],
    tasks: &[usize],
    way: Option<(Sampling, &Balance)>,
    seed: u64,
    epochs: usize,
) -> Outcome<Net> {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let trunk = conv_trunk(28, 28, rng);
    let heads = tasks.iter().map(|_| Linear::new(64, 10, rng)).collect();
    let mut net: Net = HardSharing { trunk, heads };
    let mut loaders = Vec::new();
    for &task in tasks {
        loaders.push(parts[task].batches(Batching::new(50).shuffled(seed))?);
    }
    let budget = Budget { epochs, batch: 50, lr: 2e-3, decay: 0.01, seed };
    let steps: usize = loaders.iter().map(Loader::len).sum();
    match way {
        None => {
            let trainer = budget.trainer(epochs * steps);
            trainer.fit(
                &mut net,
                |epoch| loaders[0].epoch(epoch as u64),
                |net, batch, cx| {
                    let logits = net.forward_task(0, &batch.features, cx)?;
                    Ok(CrossEntropy::new().loss(&logits, batch.labels().map_err(Error::other)?)?)
                },
            )?;
        }
        Some((sampling, balance)) => {
            // Together, a step has a batch of each: half as many.
            let most = loaders.iter().map(Loader::len).max().unwrap_or(0);
            let steps = if sampling == Sampling::Together { most } else { steps };
            let mut mix = TaskMix::new(sampling, epochs, seed);
            for loader in &loaders {
                mix = mix.task(loader.len(), move |pass| loader.epoch(pass));
            }
            let names = [Task::classification("digits"), Task::classification("garments")];
            let trainer = budget.trainer(epochs * steps);
            MultiTask::new(&names, balance.clone()).fit_mixed(
                trainer,
                &mut net,
                &mix,
                |net: &Net, task, batch, cx| {
                    let logits = net.forward_task(task, &batch.features, cx)?;
                    Ok(CrossEntropy::new().loss(&logits, batch.labels().map_err(Error::other)?)?)
                },
            )?;
        }
    }
    Ok(net)
}

fn test(net: &Net, head: usize, data: &Dataset) -> Outcome<f64> {
    let (mut right, n) = (0.0, data.len());
    for from in (0..n).step_by(500) {
        let count = 500.min(n - from);
        let x = data.features().narrow(0, from, count)?;
        let logits = net.forward_task(head, &x, &mut Ctx::eval())?;
        let labels = &data.labels()?[from..from + count];
        right += accuracy(&logits, &labels.into())? * count as f64;
    }
    Ok(right / n as f64)
}
