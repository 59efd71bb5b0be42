//! Learning-rate schedules.

mod plateau;

pub use plateau::Plateau;

use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// How a curve goes between its end points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anneal {
    /// Half a cosine.
    #[default]
    Cosine,
    /// A straight line.
    Linear,
}

impl Anneal {
    /// From `start` at part 0 to `end` at part 1.
    fn between(self, start: f64, end: f64, part: f64) -> f64 {
        match self {
            Self::Cosine => end + (start - end) / 2.0 * (1.0 + (PI * part).cos()),
            Self::Linear => start + (end - start) * part,
        }
    }
}

/// A learning-rate schedule: the factor of the base rate at each optimiser
/// step, counted from 0. Plain data.
///
/// ```
/// use tl_nn::Schedule;
/// let schedule = Schedule::cosine(900, 0.0).warmup(100);
/// assert_eq!(schedule.factor(100), 1.0);
/// assert!(schedule.factor(0) < 0.02 && schedule.factor(1000) < 1e-6);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Schedule {
    /// 1.
    #[default]
    Constant,
    /// From `start` to `end` in a straight line over `steps`, then `end`.
    Linear {
        /// First factor.
        start: f64,
        /// Last factor.
        end: f64,
        /// Steps between them.
        steps: u64,
    },
    /// Times `gamma` every `size` steps.
    Step {
        /// Steps between two drops.
        size: u64,
        /// Factor of a drop.
        gamma: f64,
    },
    /// Times `gamma` at each of `milestones`.
    MultiStep {
        /// Steps at which it drops.
        milestones: Vec<u64>,
        /// Factor of a drop.
        gamma: f64,
    },
    /// Times `gamma` every step.
    Exponential {
        /// Factor of a step.
        gamma: f64,
    },
    /// Half a cosine from 1 to `end` over `steps`, then `end`. Loshchilov and
    /// Hutter 2017, eq. 5.
    Cosine {
        /// Steps of the half cosine.
        steps: u64,
        /// Last factor.
        end: f64,
    },
    /// Half cosines from 1 to `end`, each `growth` times as long as the one
    /// before; the first over `steps`. Loshchilov and Hutter 2017.
    CosineRestarts {
        /// Steps of the first half cosine.
        steps: u64,
        /// How much longer each next one is.
        growth: u64,
        /// Factor at the end of each.
        end: f64,
    },
    /// Up from `1 / div` to 1 over the part `rise` of `steps`, then down to
    /// `1 / (div · final_div)`. The base rate is the largest. Smith and Topin
    /// 2018; PyTorch's `OneCycleLR`, whose defaults are rise 0.3, div 25,
    /// final_div 1e4.
    OneCycle {
        /// All steps.
        steps: u64,
        /// The part of them in which the rate rises.
        rise: f64,
        /// The largest rate over the first.
        div: f64,
        /// The first rate over the last.
        final_div: f64,
        /// The form of both curves.
        anneal: Anneal,
        /// Back to the first rate before the last descent.
        three_phase: bool,
    },
    /// `(1 - t / steps)^power`, then 0.
    Polynomial {
        /// Steps to 0.
        steps: u64,
        /// The exponent.
        power: f64,
    },
    /// `√(steps / max(t, steps))`: constant, then the inverse root.
    InverseSqrt {
        /// Steps before it falls.
        steps: u64,
    },
    /// From `start` up to 1 in a straight line over `steps`, then another
    /// schedule from its beginning.
    Warmup {
        /// First factor.
        start: f64,
        /// Steps of the rise.
        steps: u64,
        /// What follows.
        then: Box<Schedule>,
    },
}

impl Schedule {
    /// Half a cosine from 1 to `end` over `steps`.
    pub fn cosine(steps: u64, end: f64) -> Self {
        Self::Cosine { steps, end }
    }

    /// A [warm-up](Self::warmup) over the first `warmup` of `steps`, then half a
    /// cosine to 0 over what is left of them.
    ///
    /// ```
    /// use tl_nn::Schedule;
    /// let schedule = Schedule::warmup_cosine(100, 1000);
    /// assert_eq!(schedule.factor(100), 1.0);
    /// assert!(schedule.factor(999) < 1e-5);
    /// ```
    pub fn warmup_cosine(warmup: u64, steps: u64) -> Self {
        let fall = Self::cosine(steps.saturating_sub(warmup).max(1), 0.0);
        if warmup == 0 { fall } else { fall.warmup(warmup) }
    }

    /// PyTorch's `OneCycleLR` with its defaults.
    pub fn one_cycle(steps: u64) -> Self {
        Self::OneCycle {
            steps,
            rise: 0.3,
            div: 25.0,
            final_div: 1e4,
            anneal: Anneal::Cosine,
            three_phase: false,
        }
    }

    /// This schedule after a rise from nearly 0 to 1 over `steps`: the factor
    /// of step `t` of the rise is `(t + 1) / (steps + 1)`.
    #[must_use]
    pub fn warmup(self, steps: u64) -> Self {
        Self::Warmup { start: 1.0 / (steps + 1) as f64, steps, then: Box::new(self) }
    }

    /// The factor of the base rate at a step, from 0.
    pub fn factor(&self, step: u64) -> f64 {
        let t = step as f64;
        let part = |steps: u64| if steps == 0 { 1.0 } else { (t / steps as f64).min(1.0) };
        match *self {
            Self::Constant => 1.0,
            Self::Linear { start, end, steps } => start + (end - start) * part(steps),
            Self::Step { size, gamma } => gamma.powf((step / size.max(1)) as f64),
            Self::MultiStep { ref milestones, gamma } => {
                gamma.powf(milestones.iter().filter(|&&m| m <= step).count() as f64)
            }
            Self::Exponential { gamma } => gamma.powf(t),
            Self::Cosine { steps, end } => Anneal::Cosine.between(1.0, end, part(steps)),
            Self::CosineRestarts { steps, growth, end } => {
                let (mut left, mut length) = (step, steps.max(1));
                while left >= length {
                    left -= length;
                    length *= growth.max(1);
                }
                Anneal::Cosine.between(1.0, end, left as f64 / length as f64)
            }
            Self::OneCycle { steps, rise, div, final_div, anneal, three_phase } => {
                one_cycle(t, steps as f64, rise, div, final_div, anneal, three_phase)
            }
            Self::Polynomial { steps, power } => (1.0 - part(steps)).powf(power),
            Self::InverseSqrt { steps } => {
                let steps = steps.max(1) as f64;
                (steps / t.max(steps)).sqrt()
            }
            Self::Warmup { start, steps, ref then } => {
                if step < steps {
                    start + (1.0 - start) * t / steps as f64
                } else {
                    then.factor(step - steps)
                }
            }
        }
    }
}

fn one_cycle(
    t: f64,
    steps: f64,
    rise: f64,
    div: f64,
    final_div: f64,
    anneal: Anneal,
    three_phase: bool,
) -> f64 {
    let (first, last) = (1.0 / div, 1.0 / (div * final_div));
    let top = rise * steps - 1.0;
    let phases = if three_phase {
        vec![(top, first, 1.0), (2.0 * rise * steps - 2.0, 1.0, first), (steps - 1.0, first, last)]
    } else {
        vec![(top, first, 1.0), (steps - 1.0, 1.0, last)]
    };
    let mut begin = 0.0;
    for (end, from, to) in phases {
        if t <= end {
            let part = if end > begin { (t - begin) / (end - begin) } else { 1.0 };
            return anneal.between(from, to, part);
        }
        begin = end;
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_points() {
        let one = Schedule::one_cycle(100);
        assert!((one.factor(0) - 0.04).abs() < 1e-12);
        assert_eq!(one.factor(29), 1.0);
        assert!((one.factor(99) - 4e-6).abs() < 1e-12);
        let restarts = Schedule::CosineRestarts { steps: 10, growth: 2, end: 0.0 };
        assert_eq!((restarts.factor(10), restarts.factor(30)), (1.0, 1.0));
        assert_eq!(Schedule::Polynomial { steps: 4, power: 2.0 }.factor(2), 0.25);
        assert_eq!(Schedule::InverseSqrt { steps: 4 }.factor(16), 0.5);
        assert_eq!(Schedule::MultiStep { milestones: vec![2, 4], gamma: 0.1 }.factor(3), 0.1);
    }

    #[test]
    fn a_schedule_is_plain_data() {
        let schedule = Schedule::cosine(10, 0.1).warmup(3);
        let text = serde_json::to_string(&schedule).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), schedule);
        assert!(
            serde_json::from_str::<Schedule>(r#"{"cosine":{"steps":1,"end":0,"x":1}}"#).is_err()
        );
    }
}
