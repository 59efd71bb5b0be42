//! A rate that falls when a metric no longer improves.

use serde::{Deserialize, Serialize};

/// Multiplies the rate by `factor` when a metric has not improved for more than
/// `patience` observations: PyTorch's `ReduceLROnPlateau` with relative
/// threshold.
///
/// ```
/// use tl_nn::Plateau;
/// let mut plateau = Plateau::smaller_is_better();
/// plateau.patience = 1;
/// for loss in [1.0, 0.5, 0.5, 0.5] {
///     plateau.observe(loss);
/// }
/// assert_eq!(plateau.factor(), 0.1);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plateau {
    /// What the rate is multiplied by. Default 0.1.
    pub decay: f64,
    /// Observations without improvement that are tolerated. Default 10.
    pub patience: u64,
    /// How much better counts, relative to the best. Default 1e-4.
    pub threshold: f64,
    /// Observations after a fall that do not count. Default 0.
    pub cooldown: u64,
    /// The least factor. Default 0.
    pub least: f64,
    /// Whether larger metrics are better.
    pub larger_is_better: bool,
    factor: f64,
    best: Option<f64>,
    bad: u64,
    cooling: u64,
}

impl Plateau {
    /// For a loss, with the defaults.
    pub fn smaller_is_better() -> Self {
        Self {
            decay: 0.1,
            patience: 10,
            threshold: 1e-4,
            cooldown: 0,
            least: 0.0,
            larger_is_better: false,
            factor: 1.0,
            best: None,
            bad: 0,
            cooling: 0,
        }
    }

    /// For an accuracy, with the defaults.
    pub fn larger_is_better() -> Self {
        Self { larger_is_better: true, ..Self::smaller_is_better() }
    }

    /// Takes note of a metric; NaN counts as no improvement.
    pub fn observe(&mut self, metric: f64) {
        let better = self.best.is_none_or(|best| {
            if self.larger_is_better {
                metric > best + best.abs() * self.threshold
            } else {
                metric < best - best.abs() * self.threshold
            }
        });
        if better && !metric.is_nan() {
            self.best = Some(metric);
            self.bad = 0;
        } else {
            self.bad += 1;
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.bad = 0;
        }
        if self.bad > self.patience {
            self.factor = (self.factor * self.decay).max(self.least);
            self.cooling = self.cooldown;
            self.bad = 0;
        }
    }

    /// The factor of the base rate.
    pub fn factor(&self) -> f64 {
        self.factor
    }
}
