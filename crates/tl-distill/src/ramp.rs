//! Weights and temperatures that change during a run.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The form of a [`Ramp`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Curve {
    /// A straight line.
    #[default]
    Linear,
    /// Half a cosine: slow at both ends.
    Cosine,
    /// By equal factors; both ends are above 0.
    Exponential,
}

/// A number that goes from one value to another over a part of a run.
///
/// ```
/// use tl_distill::{Curve, Ramp};
/// let weight = Ramp::new(0.0, 1.0).over(0.0, 0.5);
/// assert_eq!([0.0, 0.25, 0.5, 1.0].map(|p| weight.at(p)), [0.0, 0.5, 1.0, 1.0]);
/// let temperature = Ramp::new(16.0, 1.0).curve(Curve::Exponential);
/// assert!((temperature.at(0.5) - 4.0).abs() < 1e-12);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// The value until `start`.
    pub from: f64,
    /// The value from `end` on.
    pub to: f64,
    /// The part of the run, 0 to 1, at which it begins to move. Default 0.
    #[serde(default)]
    pub start: f64,
    /// The part at which it arrives. Default 1.
    #[serde(default = "one")]
    pub end: f64,
    /// How it goes. Default a straight line.
    #[serde(default)]
    pub curve: Curve,
}

fn one() -> f64 {
    1.0
}

impl Ramp {
    /// A straight line over the whole run.
    pub fn new(from: f64, to: f64) -> Self {
        Self { from, to, start: 0.0, end: 1.0, curve: Curve::Linear }
    }

    /// Moves between these parts of the run only; equal ones are a step.
    #[must_use]
    pub fn over(mut self, start: f64, end: f64) -> Self {
        (self.start, self.end) = (start, end);
        self
    }

    /// Another form.
    #[must_use]
    pub fn curve(mut self, curve: Curve) -> Self {
        self.curve = curve;
        self
    }

    /// The value when `progress`, 0 to 1, of the run is over.
    pub fn at(&self, progress: f64) -> f64 {
        let part = if self.end > self.start {
            ((progress - self.start) / (self.end - self.start)).clamp(0.0, 1.0)
        } else {
            f64::from(u8::from(progress >= self.end))
        };
        match self.curve {
            Curve::Linear => self.from + (self.to - self.from) * part,
            Curve::Cosine => {
                let turned = (1.0 - (std::f64::consts::PI * part).cos()) / 2.0;
                self.from + (self.to - self.from) * turned
            }
            Curve::Exponential => self.from * (self.to / self.from).powf(part),
        }
    }

    /// Checks that all of it is from `least` on (above it if `strict`).
    pub(crate) fn check(&self, name: &'static str, strict: bool) -> Result<()> {
        let low = self.from.min(self.to);
        let strict = strict || self.curve == Curve::Exponential;
        let values = self.from.is_finite() && self.to.is_finite();
        if !values || low < 0.0 || (strict && low == 0.0) {
            let expected =
                if strict { "finite numbers above 0" } else { "finite numbers from 0 on" };
            let got = format!("{} to {}", self.from, self.to);
            return Err(Error::argument("distill", name, got, expected));
        }
        if !(0.0 <= self.start && self.start <= self.end && self.end <= 1.0) {
            let got = format!("over {} to {}", self.start, self.end);
            return Err(Error::argument(
                "distill",
                name,
                got,
                "parts of the run, 0 to 1, in order",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_meets_its_ends() {
        for curve in [Curve::Linear, Curve::Cosine, Curve::Exponential] {
            let ramp = Ramp::new(8.0, 2.0).over(0.2, 0.6).curve(curve);
            let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{curve:?}: {a} {b}");
            near(ramp.at(0.0), 8.0);
            near(ramp.at(0.2), 8.0);
            near(ramp.at(0.4), if curve == Curve::Exponential { 4.0 } else { 5.0 });
            near(ramp.at(0.6), 2.0);
            near(ramp.at(1.0), 2.0);
            assert!((1..50).all(|i| {
                let p = f64::from(i) / 50.0;
                ramp.at(p) <= ramp.at(p - 0.02) + 1e-12
            }));
        }
        assert_eq!(Ramp::new(0.0, 1.0).over(0.5, 0.5).at(0.49), 0.0);
        assert_eq!(Ramp::new(0.0, 1.0).over(0.5, 0.5).at(0.5), 1.0);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Ramp::new(-1.0, 1.0).check("weight", false).is_err());
        assert!(Ramp::new(0.0, 1.0).check("temperature", true).is_err());
        assert!(Ramp::new(0.0, 1.0).curve(Curve::Exponential).check("weight", false).is_err());
        assert!(Ramp::new(0.0, 1.0).over(0.8, 0.2).check("weight", false).is_err());
        assert!(Ramp::new(0.0, 1.0).over(0.0, 2.0).check("weight", false).is_err());
        assert!(Ramp::new(0.0, 1.0).check("weight", false).is_ok());
    }
}
