//! Several methods over several splits.

use crate::{
    Compatibility, Error, Gzsl, Method, Result, Seen, Split, choose, gzsl::seen_unseen_curve,
    harmonic_mean, per_class_accuracy, zsl_accuracy,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use tl_nn::{Clock, metric::Trials};

/// One method on one split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The method.
    pub method: String,
    /// Per-class accuracy among the unseen classes.
    pub unseen_only: f64,
    /// All classes to choose from, as the model is.
    pub plain: Gzsl,
    /// The same with the scores of seen classes lowered as was best on held-out
    /// classes of the training part.
    pub calibrated: Gzsl,
    /// The area under the seen-unseen curve.
    pub area: f64,
}

/// What became of several methods over several splits, beside chance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Per-class accuracy among the unseen classes; the baseline is chance, and
    /// beside it stands always saying the most frequent class of the test.
    pub zero_shot: Trials,
    /// Harmonic mean of seen and unseen accuracy, of every method without and with
    /// calibration. The baseline is chance among all classes, and beside it stands
    /// always saying the most frequent class of training: 0, as that one is seen.
    pub generalised: Trials,
    /// Every result.
    pub outcomes: Vec<Outcome>,
}

/// The calibration that was best on held-out classes, as a mean over folds.
fn calibration(method: &dyn Method, seen: &Seen, folds: usize, seed: u64) -> Result<f64> {
    let parts = seen.class_folds(folds, seed)?;
    let mut sum = 0.0;
    for (kept, held) in &parts {
        // A fifth of the kept samples stands for new samples of seen classes.
        let split = held_out(kept, seed)?;
        let model = method.fit(&split.0)?;
        let all = joined(split.0.signatures(), &held.classes)?;
        let seen_test = crate::Test { classes: all.clone(), ..split.1 };
        let mut unseen = held.clone();
        unseen.labels.iter_mut().for_each(|label| *label += kept.classes());
        unseen.classes = all;
        let curve = seen_unseen_curve(model.as_ref(), &seen_test, &unseen, kept.classes())?;
        let best = curve.best().map_or(0.0, |(k, _)| k);
        sum += if best.is_finite() { best } else { 0.0 };
    }
    Ok(sum / parts.len() as f64)
}

/// Four fifths of the samples of every class to learn from, the rest to test on.
fn held_out(seen: &Seen, seed: u64) -> Result<(Seen, crate::Test)> {
    use rand::SeedableRng;
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let parts = [0.8, 0.2];
    let parts = tl_data::split::stratified_split(seen.labels(), seen.classes(), &parts, &mut rng)?;
    let rows = |at: &[usize]| -> Result<_> {
        let labels: Vec<usize> = at.iter().map(|&i| seen.labels()[i]).collect();
        Ok((seen.features().index_select(0, &at.into())?, labels))
    };
    let (features, labels) = rows(&parts[0])?;
    let kept = Seen::new(features, labels, seen.signatures().clone())?;
    let (features, labels) = rows(&parts[1])?;
    Ok((kept, crate::Test { features, labels, classes: seen.signatures().clone() }))
}

fn joined(a: &crate::Signatures, b: &crate::Signatures) -> Result<crate::Signatures> {
    let names: Vec<String> = a.names().iter().chain(b.names()).cloned().collect();
    let table = tl_nn::Tensor::cat(&[a.table(), b.table()], 0)?;
    crate::Signatures::new(names, table)?.with_attributes(a.attributes().to_vec())
}

/// Of classes that are equally frequent the first.
fn most_frequent(labels: &[usize]) -> usize {
    let mut counts = vec![0_usize; labels.iter().max().map_or(1, |most| most + 1)];
    labels.iter().for_each(|&label| counts[label] += 1);
    (0..counts.len()).rev().max_by_key(|&class| counts[class]).unwrap_or(0)
}

impl Report {
    /// No results yet on this data.
    pub fn new(data: &str) -> Self {
        Self {
            zero_shot: Trials::new(data, "per-class accuracy on unseen classes"),
            generalised: Trials::new(data, "harmonic mean of seen and unseen accuracy"),
            outcomes: Vec::new(),
        }
    }

    /// Runs a method on the next split: chooses among its settings and the
    /// calibration on held-out classes of the training part, then tests. Returns
    /// the model.
    ///
    /// # Errors
    /// No setting; those of the method; fewer than 2 seen classes.
    pub fn run(
        &mut self,
        name: &str,
        settings: &[&dyn Method],
        split: &Split,
        seed: u64,
    ) -> Result<Box<dyn Compatibility>> {
        let start = Clock::start();
        let folds = 4.min(split.train.classes());
        let (at, model) = match settings {
            [] => return Err(Error::argument("report", "settings", "none", "at least one")),
            [only] => (0, only.fit(&split.train)?),
            several => choose(several, &split.train, folds, seed)?,
        };
        let calibration = calibration(settings[at], &split.train, folds, seed)?;
        let outcome = Outcome {
            method: name.to_owned(),
            unseen_only: zsl_accuracy(model.as_ref(), &split.unseen)?,
            plain: split.gzsl(model.as_ref(), 0.0)?,
            calibrated: split.gzsl(model.as_ref(), calibration)?,
            area: split.curve(model.as_ref())?.area,
        };
        let seconds = start.seconds();
        if self.outcomes.first().is_none_or(|o| o.method == name) {
            self.push_baselines(split)?;
        }
        self.zero_shot.push(name, outcome.unseen_only, seconds);
        let plain = format!("{name}, uncalibrated");
        self.generalised.push(&plain, outcome.plain.harmonic, seconds);
        self.generalised.push(name, outcome.calibrated.harmonic, seconds);
        self.outcomes.push(outcome);
        Ok(model)
    }

    fn push_baselines(&mut self, split: &Split) -> Result<()> {
        self.zero_shot.push("chance", 1.0 / split.unseen.classes.len() as f64, 0.0);
        let always = vec![most_frequent(&split.unseen.labels); split.unseen.labels.len()];
        let majority = per_class_accuracy(&always, &split.unseen.labels)?;
        self.zero_shot.push("majority", majority, 0.0);

        self.generalised.push("chance", 1.0 / split.all.len() as f64, 0.0);
        let always = most_frequent(split.train.labels());
        let of = |labels: &[usize]| per_class_accuracy(&vec![always; labels.len()], labels);
        let unseen = of(&split.unseen_among_all().labels)?;
        let majority = harmonic_mean(unseen, of(&split.seen_test.labels)?);
        self.generalised.push("majority", majority, 0.0);
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.zero_shot)?;
        write!(f, "{}", self.generalised)
    }
}
