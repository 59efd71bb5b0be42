//! Garments: a convolutional teacher, a perceptron and a tiny CNN.

use crate::{nets, shared::Outcome};
use std::path::Path;
use transfer_learning::{
    data::{Dataset, read::idx, samples},
    distill::{Compress, Distill, DistillReport, Relation, Soft, compare},
    nn::Sequential,
};

/// The embedded pictures, or all of Fashion-MNIST.
pub fn read(folder: Option<&Path>) -> Outcome<(Dataset, Dataset)> {
    let (few, test) = samples::fashion_mnist();
    let Some(folder) = folder else { return Ok((few, test)) };
    let part = |name: &str| {
        let path = |kind: &str| folder.join("fashion-mnist").join(format!("{name}-{kind}"));
        let names = few.class_names().to_vec();
        idx::labelled_images(path("images-idx3-ubyte.gz"), path("labels-idx1-ubyte.gz"), names)
    };
    Ok((part("train")?, part("t10k")?))
}

fn recipe(soft: Soft, epochs: usize) -> Distill {
    Distill::new(soft).budget(epochs, 64)
}

/// The teacher, from labels.
pub fn teacher(train: &Dataset, epochs: usize) -> Outcome<Sequential> {
    let mut teacher = nets::teacher(1000);
    let nobody = nets::teacher(0);
    let own = recipe(Soft::LogitMse, epochs).without_teacher().seed(1000);
    own.fit(&nobody, &mut teacher, train)?;
    Ok(teacher)
}

/// Both students in several ways.
pub fn students(
    teacher: &Sequential,
    data: [&Dataset; 2],
    epochs: usize,
    seeds: u64,
) -> Outcome<[DistillReport; 2]> {
    let recipe = |soft| recipe(soft, epochs);
    let kd = recipe(Soft::Kd { temperature: 4.0 });
    let outputs_only = [
        ("KD", kd.clone()),
        ("standardised KD", recipe(Soft::Standardised { temperature: 2.0 })),
        ("DKD", recipe(Soft::Dkd { alpha: 1.0, beta: 2.0, temperature: 4.0 }).warmup(0.25)),
        ("DIST", recipe(Soft::Dist { beta: 1.0, gamma: 1.0, temperature: 1.0 }).weights(1.0, 2.0)),
    ];
    let all = format!("{} garments, CNN to", data[0].len());
    let name = format!("{all} perceptron");
    let mlp = compare(&name, &outputs_only, teacher, nets::perceptron, data, seeds)?;

    let hinted = |relation, weight| kd.clone().hint("block2", "block2", relation, weight);
    let review = [("block1", "block1"), ("block2", "block2")];
    let crd = Relation::Crd { dimension: 32, negatives: 256 };
    let with_features = [
        ("KD", kd.clone()),
        ("KD + attention transfer", hinted(Relation::Attention, 100.0)),
        ("KD + FitNets", hinted(Relation::Features, 1.0)),
        ("KD + similarity preserving", hinted(Relation::Similarity, 100.0)),
        ("KD + review", kd.clone().hints(&review, Relation::Review, 1.0).warmup(0.25)),
        ("KD + CRD", kd.clone().hint("hidden", "hidden", crd, 0.02)),
    ];
    let name = format!("{all} tiny CNN");
    let tiny = compare(&name, &with_features, teacher, nets::tiny, data, seeds)?;
    Ok([mlp, tiny])
}

/// From the small CNN to integers of half of its channels.
pub fn chain(
    teacher: &Sequential,
    data: [&Dataset; 2],
    epochs: usize,
    seeds: u64,
) -> Outcome<DistillReport> {
    let kd = recipe(Soft::Kd { temperature: 4.0 }, epochs);
    let chain = Compress::new(kd).prune(0.5).tune(epochs.div_ceil(2)).qat(epochs.div_ceil(4));
    let name = format!("{} garments, CNN to half of a small one in integers", data[0].len());
    Ok(chain.run(&name, teacher, nets::small, data, seeds)?)
}
