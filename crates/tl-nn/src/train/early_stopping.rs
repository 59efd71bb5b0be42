//! Stopping when a metric no longer improves, and keeping the best model.

use super::objective::Metrics;
use crate::{Error, Result, StateDict, module::no_match};
use serde::{Deserialize, Serialize};

/// Watches a validation metric: the run ends when it has not improved for more
/// than `patience` epochs, and the model is then the best one seen.
///
/// ```
/// use tl_nn::EarlyStopping;
/// let stop = EarlyStopping::larger_is_better("accuracy").patience(5);
/// let only_keep_the_best = EarlyStopping::smaller_is_better("loss").never_stop();
/// # let _ = (stop, only_keep_the_best);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    metric: String,
    larger: bool,
    patience: Option<usize>,
    min_delta: f64,
}

impl EarlyStopping {
    /// For a loss, with a patience of 10 epochs.
    pub fn smaller_is_better(metric: &str) -> Self {
        Self { metric: metric.to_owned(), larger: false, patience: Some(10), min_delta: 0.0 }
    }

    /// For an accuracy, with a patience of 10 epochs.
    pub fn larger_is_better(metric: &str) -> Self {
        Self { larger: true, ..Self::smaller_is_better(metric) }
    }

    /// Epochs without improvement that are tolerated.
    #[must_use]
    pub fn patience(mut self, epochs: usize) -> Self {
        self.patience = Some(epochs);
        self
    }

    /// Runs all epochs; only the best model is kept.
    #[must_use]
    pub fn never_stop(mut self) -> Self {
        self.patience = None;
        self
    }

    /// How much better counts as an improvement. Default 0: anything does.
    #[must_use]
    pub fn min_delta(mut self, delta: f64) -> Self {
        self.min_delta = delta;
        self
    }

    fn better(&self, new: f64, best: f64) -> bool {
        if self.larger { new > best + self.min_delta } else { new < best - self.min_delta }
    }
}

/// The best epoch so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Best {
    pub(super) epoch: usize,
    pub(super) metric: Option<f64>,
    pub(super) epochs_since: usize,
    #[serde(skip)]
    pub(super) model: StateDict,
}

impl Best {
    /// Takes the metrics of an epoch in; `model` is asked for if it is the
    /// best so far.
    pub(super) fn observe(
        &mut self,
        rule: &EarlyStopping,
        epoch: usize,
        metrics: Option<&Metrics>,
        model: impl FnOnce() -> StateDict,
    ) -> Result<()> {
        let Some(metrics) = metrics else {
            return Err(Error::argument(
                "early stopping",
                "validation",
                "none",
                "a validation that gives the metric; see `Trainer::fit_validated`",
            ));
        };
        let Some(&value) = metrics.get(&rule.metric) else {
            let known: Vec<String> = metrics.keys().cloned().collect();
            return Err(no_match(&rule.metric, "validation metric", &known));
        };
        // NaN is never better.
        let improved = match self.metric {
            None => !value.is_nan(),
            Some(best) => rule.better(value, best),
        };
        if improved {
            *self = Self { epoch, metric: Some(value), epochs_since: 0, model: model() };
        } else {
            self.epochs_since += 1;
        }
        Ok(())
    }

    pub(super) fn is_over(&self, rule: &EarlyStopping) -> bool {
        rule.patience.is_some_and(|patience| self.epochs_since > patience)
    }
}
