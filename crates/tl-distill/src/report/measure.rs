//! Size, speed and quality of one network.

use crate::{Result, agreement, outputs};
use serde::{Deserialize, Serialize};
use tl_data::Dataset;
use tl_nn::{
    Clock, Ctx, Forward, Indices, ModuleExt, Tensor,
    metric::{accuracy, expected_calibration_error, mcnemar, predictions},
};

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
    /// McNemar's exact test against the student without a teacher, on this one
    /// test set: how likely a difference as large is if there is none. `None`
    /// if nothing was compared.
    #[serde(default)]
    pub p: Option<f64>,
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

/// The median of at least 15 passes, and of as many more as fit in 30 ms; 0 where
/// there is no clock.
fn latency(model: &impl Forward, data: &Dataset, size: usize) -> Result<f64> {
    let rows: Vec<usize> = (0..size).map(|i| i % data.len()).collect();
    let x = data.features().index_select(0, &Indices::from(rows))?;
    let mut times = Vec::new();
    for i in 0..300 {
        let start = Clock::start();
        let y = model.forward(&x, &mut Ctx::eval())?;
        std::hint::black_box(&y);
        if i >= 3 {
            times.push(start.seconds() * 1e3);
        }
        if times.len() >= 15 && times.iter().sum::<f64>() > 30.0 {
            break;
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
        let frozen = model.frozen();
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
            p: None,
        })
    }

    /// With the size of a network whose weights are no parameters: numbers,
    /// bytes and multiply-adds.
    #[must_use]
    pub fn sized(mut self, parameters: usize, bytes: usize, macs: u64) -> Self {
        (self.parameters, self.bytes, self.macs) = (parameters, bytes, Some(macs));
        self
    }

    /// With McNemar's test against another network, by the logits of both.
    ///
    /// # Errors
    /// Logits that are not those of the test set.
    pub fn against(mut self, own: &Tensor, other: &Tensor, test: &Dataset) -> Result<Self> {
        let labels = test.labels()?;
        let right = |logits: &Tensor| -> Result<Vec<bool>> {
            Ok(predictions(logits)?.iter().zip(labels).map(|(p, l)| p == l).collect())
        };
        self.p = Some(mcnemar(&right(other)?, &right(own)?)?);
        Ok(self)
    }
}
