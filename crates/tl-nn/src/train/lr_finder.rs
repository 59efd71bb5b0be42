//! A test of learning rates.

use super::objective::Losses;
use crate::{Ctx, Error, Module, ModuleExt, Optimizer, Result};
use serde::{Deserialize, Serialize};

/// The learning rate range test (Smith 2017, section 3.3): one step a batch
/// while the rate grows from `start` to `end` by a constant factor. It works on
/// a copy of the model.
///
/// Defaults: 1e-7 to 10 in 100 steps, smoothing 0.95; it stops where the
/// smoothed loss is over 4 times the least.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LrFinder {
    /// The first rate.
    pub start: f64,
    /// The last rate.
    pub end: f64,
    /// Steps in all.
    pub steps: usize,
    /// The part of the old value in the running mean of the loss.
    pub smoothing: f64,
    /// The seed of dropout and the like.
    pub seed: u64,
}

impl Default for LrFinder {
    fn default() -> Self {
        Self { start: 1e-7, end: 10.0, steps: 100, smoothing: 0.95, seed: 0 }
    }
}

/// Rates and the smoothed losses at them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LrCurve {
    /// Rate and smoothed loss, step by step.
    pub points: Vec<(f64, f64)>,
    /// The rate at which the loss falls fastest: a good peak for a schedule.
    /// `None` if it never falls.
    pub suggestion: Option<f64>,
}

impl LrFinder {
    /// Tries the rates. `optimizer(lr)` makes an optimiser of that rate;
    /// batches are taken from `batches` as long as there are any.
    ///
    /// # Errors
    /// Settings that make no sense; those of the data and the loss; fewer than
    /// ten steps before the data or the patience with the loss ends.
    pub fn find<M: Module, B, L: Into<Losses>>(
        &self,
        model: &M,
        optimizer: impl Fn(f32) -> Optimizer,
        batches: impl IntoIterator<Item = Result<B>>,
        mut loss: impl FnMut(&M, &B, &mut Ctx) -> Result<L>,
    ) -> Result<LrCurve> {
        if !(self.start > 0.0 && self.end > self.start && self.end.is_finite()) {
            let got = format!("{} to {}", self.start, self.end);
            return Err(Error::argument("lr finder", "rates", got, "0 < start < end"));
        }
        if self.steps < 10 || !(0.0..1.0).contains(&self.smoothing) {
            let got = format!("{} and {}", self.steps, self.smoothing);
            let expected = "at least 10 steps and a smoothing from 0 to below 1";
            return Err(Error::argument("lr finder", "steps, smoothing", got, expected));
        }
        let mut model = model.clone();
        let mut state = None;
        let (mut mean, mut least) = (0.0, f64::INFINITY);
        let mut points = Vec::new();
        for (step, batch) in batches.into_iter().take(self.steps).enumerate() {
            let part = step as f64 / (self.steps - 1) as f64;
            let rate = self.start * (self.end / self.start).powf(part);
            let mut cx = Ctx::train(self.seed.wrapping_add(step as u64));
            let losses: Losses = loss(&model, &batch?, &mut cx)?.into();
            let value = f64::from(losses.total.item()?);
            mean = self.smoothing * mean + (1.0 - self.smoothing) * value;
            let smooth = mean / (1.0 - self.smoothing.powi(step as i32 + 1));
            if !smooth.is_finite() || (step > 0 && smooth > 4.0 * least) {
                break;
            }
            least = least.min(smooth);
            points.push((rate, smooth));
            let gradients = losses.total.backward()?;
            let mut stepper = optimizer(rate as f32);
            if let Some(state) = state.take() {
                stepper.load_state(state)?;
            }
            stepper.step(&mut model, &gradients)?;
            state = Some(stepper.state());
            model.apply(cx.take_updates())?;
        }
        if points.len() < 10 {
            let got = format!("{} usable steps", points.len());
            return Err(Error::argument(
                "lr finder",
                "batches",
                got,
                "at least 10; cycle the data",
            ));
        }
        let suggestion = steepest(&points);
        Ok(LrCurve { points, suggestion })
    }
}

/// Where the loss falls fastest over the logarithm of the rate, by central
/// differences; the first points, still hardly smoothed, do not count.
fn steepest(points: &[(f64, f64)]) -> Option<f64> {
    let slopes = points.windows(3).skip(points.len() / 10).map(|w| {
        let slope = (w[2].1 - w[0].1) / (w[2].0.ln() - w[0].0.ln());
        (w[1].0, slope)
    });
    let (rate, slope) = slopes.min_by(|a, b| a.1.total_cmp(&b.1))?;
    (slope < 0.0).then_some(rate)
}
