//! Hinton, Vinyals and Dean's experiments on the whole of MNIST (2015,
//! section 3): a perceptron of two layers of 1200 with dropout and shifted
//! pictures teaches one of two layers of 800 at temperature 20; and the same
//! without any 3 among the student's pictures.

use crate::{
    labels::{recall_of, shift_for},
    nets,
    shared::Outcome,
};
use std::{path::Path, time::Instant};
use transfer_learning::{
    data::{Dataset, read::idx, transform::RandomAffine},
    distill::{Distill, NO_TEACHER, Views, outputs},
    nn::{Load, ModuleExt, Sequential, StateDict, metric::Trials, metric::predictions},
};

const THREE: usize = 3;

/// Training and test set.
pub fn read(folder: &Path) -> Outcome<[Dataset; 2]> {
    let part = |name: &str| {
        let path = |kind: &str| folder.join("mnist").join(format!("{name}-{kind}"));
        let digits = (0..10).map(|d| d.to_string());
        idx::labelled_images(path("images-idx3-ubyte"), path("labels-idx1-ubyte"), digits)
    };
    Ok([part("train")?, part("t10k")?])
}

fn errors(model: &Sequential, test: &Dataset) -> Outcome<f64> {
    let said = predictions(&outputs(model, test.features())?)?;
    Ok(said.iter().zip(test.labels()?).filter(|(p, l)| p != l).count() as f64)
}

/// Trains the teacher, or reads it from a file; one that was trained is
/// written there.
fn teacher(train: &Dataset, epochs: usize, file: &Path) -> Outcome<Sequential> {
    let mut net = nets::wide(1200, [0.2, 0.5], 1000);
    if file.exists() {
        drop(net.load(&StateDict::open(file)?, &Load::strict())?);
        return Ok(net);
    }
    // Shifts of up to two pixels, as in the paper.
    let shifts = RandomAffine::new().translate(2.0 / 28.0);
    let views = Views::new("two pixels", epochs, 1000, shifts)?;
    let recipe = Distill::kd(1.0).without_teacher().budget(epochs, 128).lr(1e-3).seed(1000);
    let nobody = nets::wide(1, [0.0; 2], 0);
    recipe.fit_augmented(&nobody, &mut net, train, &views)?;
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    net.state_dict().save(file)?;
    Ok(net)
}

/// Test errors of the student, and its recall of threes when it has seen none.
pub fn run(folder: &Path, epochs: usize, seeds: u64) -> Outcome<[Trials; 2]> {
    let [train, test] = read(folder)?;
    // Dropout needs more passes than the student.
    let teaching = 2 * epochs;
    let file = format!("target/distill/mnist-teacher-{teaching}.safetensors");
    let teacher = teacher(&train, teaching, Path::new(&file))?;
    let name = format!("MNIST, 1200x1200 ({} errors) to 800x800", errors(&teacher, &test)?);
    let mut right = Trials::new(&name, "test errors").lower_is_better();
    let mut threes = Trials::new("MNIST, no 3 among the student's", "recall of 3");
    let recipe = Distill::kd(20.0).budget(epochs, 128).lr(1e-3);
    let labels = train.labels()?.iter().enumerate();
    let seen: Vec<usize> = labels.filter(|(_, l)| **l != THREE).map(|(i, _)| i).collect();
    let seen = train.select(&seen)?;
    for seed in 0..seeds {
        let learn = |way: Distill, data: &Dataset| -> Outcome<(Sequential, f64)> {
            let (mut student, start) = (nets::wide(800, [0.0; 2], seed), Instant::now());
            way.seed(seed).fit(&teacher, &mut student, data)?;
            Ok((student, start.elapsed().as_secs_f64()))
        };
        let kd = recipe.clone().hard(0.0);
        for (name, way) in [(NO_TEACHER, recipe.without_teacher()), ("KD, T = 20", kd.clone())] {
            let (student, seconds) = learn(way, &train)?;
            right.push(name, errors(&student, &test)?, seconds);
        }
        let (student, seconds) = learn(recipe.without_teacher(), &seen)?;
        let recall = recall_of(&outputs(&student, test.features())?, &test, THREE)?;
        threes.push(NO_TEACHER, recall, seconds);
        let (student, seconds) = learn(kd, &seen)?;
        let logits = outputs(&student, test.features())?;
        threes.push("KD", recall_of(&logits, &test, THREE)?, seconds);
        let shift = shift_for(&student, train.features(), THREE, 0.1)?;
        let shifted = recall_of(&logits.add(&shift)?, &test, THREE)?;
        threes.push("KD + bias of 3", shifted, seconds);
    }
    Ok([right, threes])
}
