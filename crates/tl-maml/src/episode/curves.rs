//! Families of one-dimensional regression tasks.

use super::{Task, TaskSource, stream};
use crate::{Error, Result};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::f64::consts::{PI, TAU};
use tl_data::{Batch, Targets};
use tl_nn::Tensor;

/// Which curves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Family {
    /// `y = a sin(x - φ)`, `a` uniform in 0.1 to 5, `φ` in 0 to π, `x` in -5 to
    /// 5 (Finn et al. 2017, section 5.1). Predicting 0 has a mean squared error
    /// of `E[a²]/2 = 4.25`; the best function that does not look at the
    /// support, `-1.62 cos x`, one of 3.01.
    Sinusoid,
    /// `y = a₁ sin(ωx + b₁) + a₂ sin(2ωx + b₂)` with noise of deviation 0.1;
    /// `a` standard normal, `b` uniform in 0 to 2π, `ω` in 5 to 7, `x` normal
    /// around a centre uniform in -4 to 4 (Lacoste et al. 2018).
    Harmonics,
    /// Half of the tasks a sinusoid, half a line `y = ax + b` with `a` and `b`
    /// uniform in -3 to 3; noise of deviation 0.3 (Finn et al. 2018).
    LineOrSine,
}

/// Regression tasks: points of a random curve of a [`Family`]. Features
/// `[n, 1]`, targets `[n, 1]`.
///
/// ```
/// use tl_maml::{Curves, TaskSource};
/// # fn main() -> tl_maml::Result<()> {
/// let task = Curves::sinusoid().shots(5).task(0, 0)?;
/// assert_eq!(task.support.features.dims(), [5, 1]);
/// assert_eq!(task.query.values()?.dims(), [10, 1]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curves {
    /// Which curves.
    pub family: Family,
    /// Support points. Default 10.
    pub shots: usize,
    /// Query points. Default 10.
    pub query: usize,
}

/// A curve and where its points lie.
struct Curve {
    value: Box<dyn Fn(f64) -> f64>,
    centre: Option<f64>,
    noise: f64,
}

impl Curves {
    /// Curves of a family, 10 points to learn from and 10 to be tested on.
    pub fn new(family: Family) -> Self {
        Self { family, shots: 10, query: 10 }
    }

    /// Sinusoids of the MAML paper.
    pub fn sinusoid() -> Self {
        Self::new(Family::Sinusoid)
    }

    /// Sets the support points.
    #[must_use]
    pub fn shots(mut self, shots: usize) -> Self {
        self.shots = shots;
        self
    }

    /// Sets the query points.
    #[must_use]
    pub fn query(mut self, query: usize) -> Self {
        self.query = query;
        self
    }

    fn curve(self, rng: &mut ChaCha8Rng) -> Curve {
        match self.family {
            Family::Sinusoid => Curve { value: sine(rng), centre: None, noise: 0.0 },
            Family::LineOrSine if rng.random() => {
                Curve { value: sine(rng), centre: None, noise: 0.3 }
            }
            Family::LineOrSine => {
                let (a, b) = (rng.random_range(-3.0..3.0), rng.random_range(-3.0..3.0));
                Curve { value: Box::new(move |x| a * x + b), centre: None, noise: 0.3 }
            }
            Family::Harmonics => {
                let (a1, a2) = (normal(rng), normal(rng));
                let (b1, b2) = (rng.random_range(0.0..TAU), rng.random_range(0.0..TAU));
                let w = rng.random_range(5.0..7.0);
                Curve {
                    value: Box::new(move |x: f64| {
                        a1 * (w * x + b1).sin() + a2 * (2.0 * w * x + b2).sin()
                    }),
                    centre: Some(rng.random_range(-4.0..4.0)),
                    noise: 0.1,
                }
            }
        }
    }
}

fn sine(rng: &mut ChaCha8Rng) -> Box<dyn Fn(f64) -> f64> {
    let (a, phase) = (rng.random_range(0.1..5.0), rng.random_range(0.0..PI));
    Box::new(move |x: f64| a * (x - phase).sin())
}

/// A standard normal number (Box and Muller 1958).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (TAU * v).cos()
}

impl Curve {
    fn points(&self, n: usize, first: usize, rng: &mut ChaCha8Rng) -> Result<Batch> {
        let (mut xs, mut ys) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for _ in 0..n {
            let x = match self.centre {
                Some(centre) => centre + normal(rng),
                None => rng.random_range(-5.0..5.0),
            };
            let noise = if self.noise > 0.0 { self.noise * normal(rng) } else { 0.0 };
            xs.push(x as f32);
            ys.push(((self.value)(x) + noise) as f32);
        }
        Ok(Batch {
            features: Tensor::from_vec(xs, [n, 1])?,
            targets: Targets::Values(Tensor::from_vec(ys, [n, 1])?),
            indices: (first..first + n).collect(),
        })
    }
}

impl TaskSource for Curves {
    fn task(&self, seed: u64, number: u64) -> Result<Task> {
        if self.shots == 0 || self.query == 0 {
            let got = (self.shots, self.query);
            return Err(Error::argument("curves", "(shots, query)", got, "at least 1 of each"));
        }
        let rng = &mut stream(seed, number);
        let curve = self.curve(rng);
        let support = curve.points(self.shots, 0, rng)?;
        let query = curve.points(self.query, self.shots, rng)?;
        Ok(Task { support, query })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean squared error of a fixed function over many tasks.
    fn error_of(family: Family, f: impl Fn(f64) -> f64) -> f64 {
        let curves = Curves::new(family).query(50);
        let (mut sum, mut count) = (0.0, 0.0);
        for number in 0..4000 {
            let query = curves.task(5, number).unwrap().query;
            for (x, y) in query.features.to_vec().iter().zip(query.values().unwrap().to_vec()) {
                sum += (f(f64::from(*x)) - f64::from(y)).powi(2);
                count += 1.0;
            }
        }
        sum / count
    }

    #[test]
    fn sinusoids_have_the_moments_of_the_paper() {
        // E[a²] = (5³ - 0.1³) / (3 · 4.9), and sin² is 1/2 on the average over x
        // and φ: the mean of cos 2(x - φ) over φ in 0 to π is 0.
        let zero = (125.0 - 0.001) / (3.0 * 4.9) / 2.0;
        assert!((error_of(Family::Sinusoid, |_| 0.0) - zero).abs() < 0.15);
        // The mean over a and φ: 2.55 · (2/π) · (-cos x).
        let best = |x: f64| -2.55 * 2.0 / PI * x.cos();
        assert!((error_of(Family::Sinusoid, best) - 3.0).abs() < 0.15);
    }

    #[test]
    fn families_differ_and_settings_are_checked() {
        // Lines: E[(ax + b)²] = 3 · 25/3 + 3 = 28; half of the tasks, plus noise.
        let mixed = error_of(Family::LineOrSine, |_| 0.0);
        assert!((mixed - (28.0 + 4.25) / 2.0 - 0.09).abs() < 1.0, "{mixed}");
        // E[a²] (1/2 + 1/2) + noise.
        let harmonic = error_of(Family::Harmonics, |_| 0.0);
        assert!((harmonic - 1.01).abs() < 0.1, "{harmonic}");
        assert!(Curves::sinusoid().shots(0).task(0, 0).is_err());
    }
}
