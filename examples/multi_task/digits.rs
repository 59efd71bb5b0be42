//! Two digits in one picture.

use crate::{
    Study,
    learn::{Budget, Net, conv_trunk, few, train},
    shared::{Outcome, args::Args, bar},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use transfer_learning::{
    data::{Dataset, read::idx, samples},
    multitask::{HardSharing, Labels, compare},
    nn::{Ctx, metric::accuracy},
    tensor::Tensor,
};

/// Pictures with two digits each.
struct Pairs {
    images: Tensor,
    labels: [Vec<usize>; 2],
}

pub fn study(args: &Args) -> Outcome<Study> {
    let (train_set, test_set, size, epochs) = match &args.data {
        Some(folder) => (read(folder, "train")?, read(folder, "t10k")?, 20_000, 3),
        None => {
            let (train, test) = samples::mnist();
            (train, test, 1_200, 6)
        }
    };
    let (size, epochs) = if args.quick { (200, 1) } else { (size, epochs) };
    let unseen = pairs(&test_set, size.min(5_000), 99)?;
    let (ways, seeds) = (few(), args.seeds());
    let tasks = [("MultiMNIST: left", "accuracy", true), ("MultiMNIST: right", "accuracy", true)];
    let bar = bar::over(seeds as usize * (ways.len() + 2));
    let mut notes = Vec::new();
    let report = compare(&tasks, &ways, seeds, |task, balance, seed| -> Outcome<Vec<f64>> {
        bar.inc(1);
        let seen = pairs(&train_set, size, seed)?;
        let known = |side: usize| seen.labels[side].iter().map(|l| Some(*l)).collect::<Vec<_>>();
        let labels =
            Labels::new(size).classes("left", 10, &known(0))?.classes("right", 10, &known(1))?;
        let chosen = task.map_or(vec![0, 1], |task| vec![task]);
        let labels = labels.only(&chosen)?;
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let trunk = conv_trunk(28, 40, rng);
        let mut net = HardSharing { trunk, heads: labels.heads(64, rng) };
        let budget = Budget { epochs, batch: 64, lr: 2e-3, decay: 0.01, seed };
        let trained = train(&mut net, &seen.images, &labels, balance, &budget)?;
        if let (Some(trained), Some("UPGrad"), 0) =
            (trained, balance.map(transfer_learning::multitask::Balance::name), seed)
        {
            notes.push(format!("Conflicts of the first run of UPGrad:\n{}", trained.conflicts));
        }
        test(&net, &unseen, &chosen)
    })?;
    bar.finish_and_clear();
    let about = format!(
        "{size} pictures for training, {epochs} epochs, a network of two convolutions and a layer \
         of 64 features; {} pictures for testing.",
        unseen.labels[0].len()
    );
    Ok(Study { title: "Two digits in one picture", about, report, notes })
}

/// A set as `tools/fetch-data` writes it.
fn read(folder: &Path, part: &str) -> Outcome<Dataset> {
    let file = |kind| folder.join("mnist").join(format!("{part}-{kind}-ubyte"));
    let names = (0..10).map(|d| d.to_string());
    Ok(idx::labelled_images(file("images-idx3"), file("labels-idx1"), names)?)
}

/// Two digits, the second 12 pixels to the right: `[n, 1, 28, 40]`.
fn pairs(data: &Dataset, count: usize, seed: u64) -> Outcome<Pairs> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let features = data.features();
    let (pixels, labels) = (features.value().as_slice().unwrap_or(&[]), data.labels()?);
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

fn test(net: &Net, data: &Pairs, tasks: &[usize]) -> Outcome<Vec<f64>> {
    let mut right = vec![0.0; tasks.len()];
    let n = data.labels[0].len();
    for from in (0..n).step_by(500) {
        let count = 500.min(n - from);
        let x = data.images.narrow(0, from, count)?;
        let outputs = net.forward_all(&x, &mut Ctx::eval())?;
        for ((sum, output), &task) in right.iter_mut().zip(&outputs).zip(tasks) {
            let labels = &data.labels[task][from..from + count];
            *sum += accuracy(output, &labels.into())? * count as f64 / n as f64;
        }
    }
    Ok(right)
}
