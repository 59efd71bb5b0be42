//! "Unknown", with a stated coverage.

use crate::{Error, Result};
use std::sync::OnceLock;
use tl_nn::Tensor;

/// Known samples, and the threshold that follows from their scores: found when it
/// is first asked for, forgotten when scores change.
#[derive(Clone, Debug)]
pub(crate) struct Rejection {
    known: Tensor,
    coverage: f64,
    threshold: OnceLock<f32>,
}

impl Rejection {
    /// `known` `[n, d]`.
    pub(crate) fn new(known: &Tensor, coverage: f64) -> Result<Self> {
        if !(coverage > 0.0 && coverage < 1.0) {
            return Err(Error::argument("reject", "coverage", coverage, "between 0 and 1"));
        }
        let n = known.size(0)?;
        if rank(n, coverage) == 0 {
            let least = ((1.0 - 1e-9) / (1.0 - coverage)).ceil() - 1.0;
            let got = format!("{n} samples");
            let expected = format!("at least {least} for a coverage of {coverage}");
            return Err(Error::argument("reject", "known", got, expected));
        }
        Ok(Self { known: known.detach(), coverage, threshold: OnceLock::new() })
    }

    /// Scores have changed.
    pub(crate) fn forget(&mut self) {
        self.threshold = OnceLock::new();
    }

    /// Lower scores are unknown. `best` gives the best score of each sample.
    pub(crate) fn threshold(&self, best: impl FnOnce(&Tensor) -> Result<Vec<f32>>) -> Result<f32> {
        if let Some(found) = self.threshold.get() {
            return Ok(*found);
        }
        let mut scores = best(&self.known)?;
        scores.sort_by(f32::total_cmp);
        Ok(*self.threshold.get_or_init(|| scores[rank(scores.len(), self.coverage) - 1]))
    }
}

/// `⌊(n + 1)(1 - coverage)⌋`; the small number is for products that should be
/// whole, such as `10 · (1 - 0.9)`.
fn rank(n: usize, coverage: f64) -> usize {
    (((n + 1) as f64 * (1.0 - coverage) + 1e-9) as usize).min(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rank_is_the_formulas() {
        assert_eq!(rank(9, 0.9), 1);
        assert_eq!(rank(8, 0.9), 0);
        assert_eq!(rank(19, 0.9), 2);
        assert_eq!(rank(99, 0.95), 5);
        assert_eq!(rank(3, 0.01), 3);
        assert_eq!(rank(1000, 1.0 - 1e-12), 0);
    }
}
