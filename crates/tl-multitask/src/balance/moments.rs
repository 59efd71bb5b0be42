//! Adam for a single number.

use serde::{Deserialize, Serialize};

/// Adam's moments of one number (Kingma and Ba 2015, algorithm 1), with its
/// usual `β` of 0.9 and 0.999 and no weight decay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// The first moment.
    pub mean: f64,
    /// The second moment.
    pub square: f64,
    /// Steps so far.
    pub steps: f64,
}

impl Moments {
    /// What is taken off the number for this slope.
    pub(crate) fn step(&mut self, slope: f64, lr: f64) -> f64 {
        self.steps += 1.0;
        self.mean = 0.9 * self.mean + 0.1 * slope;
        self.square = 0.999 * self.square + 0.001 * slope * slope;
        let mean = self.mean / (1.0 - 0.9_f64.powf(self.steps));
        let square = self.square / (1.0 - 0.999_f64.powf(self.steps));
        lr * mean / (square.sqrt() + 1e-8)
    }
}
