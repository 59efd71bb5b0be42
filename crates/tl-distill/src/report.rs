//! What distillation gave: quality over seeds, size and speed.

use crate::{Distill, Result, agreement, outputs};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Instant};
use tl_data::Dataset;
use tl_nn::{
    Ctx, Forward, Indices, ModuleExt, Tensor,
    metric::{Trials, accuracy, expected_calibration_error},
};

/// The name of the baseline in every report.
pub const NO_TEACHER: &str = "no teacher";

/// Size, speed and quality of one network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What it is.
    pub name: String,
    /// Numbers in parameters.
    pub parameters: usize,
    /// Bytes of parameters and buffers as they are stored.
    pub bytes: usize,
    /// Multiply-adds with weights for one sample; `None` if a layer with a
    /// weight does not name its output, so that they cannot be counted.
    pub macs: Option<u64>,
    /// Median milliseconds of a pass with one sample.
    pub latency_1: f64,
    /// Median milliseconds of a pass with 32 samples.
    pub latency_32: f64,
    /// Accuracy on the test set.
    pub accuracy: f64,
    /// The part of the test set where it names the teacher's class.
    pub agreement: f64,
    /// Expected calibration error with 15 bins.
    pub calibration: f64,
}

/// Networks side by side; the first is the teacher.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CompressionReport {
    /// One line for each network.
    pub networks: Vec<Measured>,
}

/// The multiply-adds of a model's weights for one sample: for every parameter
/// called `weight` the numbers of its layer's output times the inputs of each.
/// Products of activations, as in attention, are not counted.
///
/// `None` if a weight's layer is no [tap](Ctx::tap).
///
/// # Errors
/// Those of the model.
pub fn macs(model: &impl Forward, sample: &Tensor) -> Result<Option<u64>> {
    let mut cx = Ctx::eval().capture("**")?;
    let y = model.forward(sample, &mut cx)?;
    let taps = cx.take_taps();
    let mut sum = 0_u64;
    for (path, param) in model.params() {
        let dims = param.dims();
        if dims.len() < 2 {
            continue;
        }
        let layer = path.strip_suffix(".weight").unwrap_or("");
        let output = match taps.iter().find(|(name, _)| name == layer) {
            Some((_, output)) => output.numel(),
            None if path == "weight" => y.numel(),
            None => return Ok(None),
        };
        sum += output as u64 * dims[1..].iter().product::<usize>() as u64;
    }
    Ok(Some(sum / sample.size(0)?.max(1) as u64))
}

fn latency(model: &impl Forward, data: &Dataset, size: usize) -> Result<f64> {
    let rows: Vec<usize> = (0..size).map(|i| i % data.len()).collect();
    let x = data.features().index_select(0, &Indices::from(rows))?;
    let mut times = Vec::new();
    for i in 0..18 {
        let start = Instant::now();
        let y = model.forward(&x, &mut Ctx::eval())?;
        std::hint::black_box(&y);
        if i >= 3 {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

impl Measured {
    /// Measures a classifier on a test set. `teacher` are the teacher's logits
    /// of the same samples.
    ///
    /// # Errors
    /// Those of the model; a set without classes or samples.
    pub fn of(name: &str, model: &impl Forward, test: &Dataset, teacher: &Tensor) -> Result<Self> {
        let logits = outputs(model, test.features())?;
        let labels = Indices::from(test.labels()?);
        let mut frozen = model.clone();
        frozen.for_each_param(|_, p| {
            p.set_frozen(true);
            Ok(())
        })?;
        let dict = model.state_dict();
        Ok(Self {
            name: name.to_owned(),
            parameters: model.count_params().1,
            bytes: dict.iter().map(|(_, w)| w.bytes().len()).sum(),
            macs: macs(&frozen, &test.features().narrow(0, 0, 1)?.contiguous())?,
            latency_1: latency(&frozen, test, 1)?,
            latency_32: latency(&frozen, test, 32)?,
            accuracy: accuracy(&logits, &labels)?,
            agreement: agreement(&logits, teacher)?,
            calibration: expected_calibration_error(&logits.softmax(-1)?, &labels, 15)?,
        })
    }
}

impl fmt::Display for CompressionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.networks.iter().map(|m| m.name.chars().count()).max().unwrap_or(0).max(7);
        writeln!(
            f,
            "{:width$}  parameters     bytes      MACs   ms @1  ms @32  accuracy  agreement    ECE",
            "network"
        )?;
        for m in &self.networks {
            let macs = m.macs.map_or("unknown".to_owned(), |x| x.to_string());
            writeln!(
                f,
                "{:width$}  {:10}  {:8}  {macs:>8}  {:6.3}  {:6.3}  {:8.4}  {:9.4}  {:.3}",
                m.name,
                m.parameters,
                m.bytes,
                m.latency_1,
                m.latency_32,
                m.accuracy,
                m.agreement,
                m.calibration
            )?;
        }
        Ok(())
    }
}

/// What several ways of distilling gave, beside the same student without a
/// teacher: the same start, data, order and number of steps for every seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistillReport {
    /// Test accuracy by way and seed; the first way is [`NO_TEACHER`].
    pub trials: Trials,
    /// The part of the test set where a student names the teacher's class.
    pub agreement: Trials,
    /// The teacher and the students of the last seed.
    pub compression: CompressionReport,
}

impl fmt::Display for DistillReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.trials, self.agreement, self.compression)
    }
}

/// Trains the same student without a teacher and in each of several ways, for
/// each seed, and tests all. `make(seed)` gives the student at its start.
///
/// # Errors
/// As [`Distill::fit`]; no way; a test set without classes.
pub fn compare<T: Forward, S: Forward>(
    name: &str,
    ways: &[(&str, Distill)],
    teacher: &T,
    mut make: impl FnMut(u64) -> S,
    [train, test]: [&Dataset; 2],
    seeds: u64,
) -> Result<DistillReport> {
    let Some((_, first)) = ways.first() else {
        return Err(crate::Error::argument("compare", "ways", "none", "at least one"));
    };
    let said = outputs(teacher, test.features())?;
    let labels = Indices::from(test.labels()?);
    let mut report = DistillReport {
        trials: Trials::new(name, "accuracy"),
        agreement: Trials::new(name, "agreement with the teacher"),
        compression: CompressionReport::default(),
    };
    report.compression.networks.push(Measured::of("teacher", teacher, test, &said)?);
    let alone = first.without_teacher();
    let all: Vec<(&str, &Distill)> =
        std::iter::once((NO_TEACHER, &alone)).chain(ways.iter().map(|(n, w)| (*n, w))).collect();
    for seed in 0..seeds {
        for (way, setup) in &all {
            let mut student = make(seed);
            let start = Instant::now();
            (*setup).clone().seed(seed).fit(teacher, &mut student, train)?;
            let seconds = start.elapsed().as_secs_f64();
            let logits = outputs(&student, test.features())?;
            report.trials.push(way, accuracy(&logits, &labels)?, seconds);
            report.agreement.push(way, agreement(&logits, &said)?, seconds);
            if seed + 1 == seeds {
                report.compression.networks.push(Measured::of(way, &student, test, &said)?);
            }
        }
    }
    Ok(report)
}

impl Distill {
    /// [`compare`] with this way alone, called "distilled".
    ///
    /// # Errors
    /// As there.
    pub fn compare<T: Forward, S: Forward>(
        &self,
        name: &str,
        teacher: &T,
        make: impl FnMut(u64) -> S,
        data: [&Dataset; 2],
        seeds: u64,
    ) -> Result<DistillReport> {
        compare(name, &[("distilled", self.clone())], teacher, make, data, seeds)
    }
}
