//! What only a teacher can give: samples without labels, and a class that the
//! student has never seen.

use crate::{nets, shared::Outcome};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use transfer_learning::{
    data::{Dataset, samples},
    distill::{Distill, NO_TEACHER, outputs},
    nn::{
        Forward, Indices, Sequential, Tensor,
        metric::{Trials, accuracy, predictions},
    },
};

/// Ten labelled garments of each kind, and a teacher that knows more: with
/// labels alone, with the teacher on the same pictures, and with the teacher on
/// all pictures without a label. All take the same number of steps.
pub fn few(
    teacher: &Sequential,
    [train, test]: [&Dataset; 2],
    epochs: usize,
    seeds: u64,
) -> Outcome<Trials> {
    let mut trials = Trials::new("garments, 10 labels per class, CNN to perceptron", "accuracy");
    let labels = Indices::from(test.labels()?);
    let all = train.without_targets();
    for seed in 0..seeds {
        let (labelled, _) = train.k_shot(10, &mut ChaCha8Rng::seed_from_u64(seed))?;
        let longer = epochs * train.len().div_ceil(64) / labelled.len().div_ceil(64);
        let kd = Distill::kd(4.0).seed(seed);
        let ways = [
            (NO_TEACHER, kd.without_teacher().budget(longer, 64), &labelled),
            ("KD, same pictures", kd.clone().budget(longer, 64), &labelled),
            ("KD, all pictures, no labels", kd.clone().hard(0.0).budget(epochs, 64), &all),
        ];
        for (name, way, data) in ways {
            let (mut student, start) = (nets::perceptron(seed), Instant::now());
            way.fit(teacher, &mut student, data)?;
            let right = accuracy(&outputs(&student, test.features())?, &labels)?;
            trials.push(name, right, start.elapsed().as_secs_f64());
        }
    }
    Ok(trials)
}

/// Hinton, Vinyals and Dean's experiment with a digit left out: the student
/// never sees a 3. The recall of threes on the test set, without a teacher, with
/// one, and with one after the bias of the threes is raised until the student
/// calls a tenth of the *training* pictures of all digits a three (no label and
/// no test picture is used for that).
pub fn without_threes(epochs: usize, seeds: u64) -> Outcome<Trials> {
    const THREE: usize = 3;
    let (train, test) = samples::mnist();
    let mut teacher = nets::teacher(1000);
    let recipe = Distill::kd(20.0).hard(0.0).budget(epochs, 64);
    recipe.without_teacher().seed(1000).fit(&nets::teacher(0), &mut teacher, &train)?;
    let seen: Vec<usize> =
        train.labels()?.iter().enumerate().filter(|(_, l)| **l != THREE).map(|(i, _)| i).collect();
    let seen = train.select(&seen)?;
    let mut trials = Trials::new("digits, no 3 among the student's", "recall of 3");
    for seed in 0..seeds {
        let mut learn = |name: &str, way: Distill| -> Outcome<Sequential> {
            let (mut student, start) = (nets::perceptron(seed), Instant::now());
            way.seed(seed).fit(&teacher, &mut student, &seen)?;
            let recall = recall_of(&outputs(&student, test.features())?, &test, THREE)?;
            trials.push(name, recall, start.elapsed().as_secs_f64());
            Ok(student)
        };
        learn(NO_TEACHER, recipe.without_teacher())?;
        let start = Instant::now();
        let student = learn("KD", recipe.clone())?;
        let shift = shift_for(&student, train.features(), THREE, 0.1)?;
        let logits = outputs(&student, test.features())?.add(&shift)?;
        let recall = recall_of(&logits, &test, THREE)?;
        trials.push("KD + bias of 3", recall, start.elapsed().as_secs_f64());
    }
    Ok(trials)
}

pub fn recall_of(logits: &Tensor, test: &Dataset, class: usize) -> Outcome<f64> {
    let predicted = predictions(logits)?;
    let own = test.labels()?.iter().zip(&predicted).filter(|(l, _)| **l == class);
    let (mut all, mut right) = (0.0, 0.0);
    for (_, p) in own {
        all += 1.0;
        right += f64::from(u8::from(*p == class));
    }
    Ok(right / f64::max(all, 1.0))
}

/// What to add to the logits so that `part` of the samples get this class.
pub fn shift_for(model: &impl Forward, x: &Tensor, class: usize, part: f64) -> Outcome<Tensor> {
    let logits = outputs(model, x)?;
    let classes = logits.dims()[1];
    // How far the class is behind the best other one, sample by sample.
    let mut behind: Vec<f32> = logits
        .to_vec()
        .chunks(classes)
        .map(|row| {
            let others = row.iter().enumerate().filter(|(c, _)| *c != class).map(|(_, z)| *z);
            others.fold(f32::MIN, f32::max) - row[class]
        })
        .collect();
    behind.sort_by(f32::total_cmp);
    let mut shift = vec![0.0; classes];
    let at = (behind.len() as f64 * part) as usize;
    shift[class] = behind[at.min(behind.len() - 1)];
    Ok(Tensor::from_vec(shift, [1, classes])?)
}
