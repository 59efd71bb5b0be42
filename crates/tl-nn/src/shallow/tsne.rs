//! t-SNE: features in a plane, neighbours beside each other.

use super::{Pca, features, positive};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use tl_tensor::Tensor;

/// t-distributed stochastic neighbour embedding (van der Maaten and Hinton 2008)
/// into two dimensions, exact: time and memory are quadratic in the samples, so
/// for some 1,000 of them.
///
/// Each sample has Gaussian similarities to the others with the deviation that
/// gives the `perplexity`; the embedding's are those of Student's t. Their
/// Kullback-Leibler divergence falls by gradient descent with momentum 0.5, then
/// 0.8 from step 250 on, and gains per coordinate; until then similarities are
/// exaggerated twelvefold. It starts at the first two principal components scaled
/// to a deviation of 1e-4, so there is nothing random in it.
///
/// Defaults: 750 steps, rate `max(n / 48, 50)` (scikit-learn's "auto").
///
/// ```
/// use tl_nn::{Tensor, shallow::TSne};
/// # use rand::SeedableRng;
/// # fn main() -> tl_nn::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let x = Tensor::randn([60, 5], &mut rng);
/// assert_eq!(TSne::new(10.0).steps(100).fit(&x)?.dims(), [60, 2]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TSne {
    /// About how many neighbours count.
    pub perplexity: f64,
    /// Steps of gradient descent.
    pub steps: usize,
}

impl TSne {
    /// With this perplexity; 30 is usual.
    pub fn new(perplexity: f64) -> Self {
        Self { perplexity, steps: 750 }
    }

    /// Sets the steps.
    #[must_use]
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// The place of every sample of features `[n, d]` in the plane, `[n, 2]`.
    ///
    /// # Errors
    /// Features that are not a finite matrix; a perplexity that is not above 1 or
    /// not below a third of the samples.
    pub fn fit(&self, x: &Tensor) -> Result<Tensor> {
        let [n, d] = features("t-SNE", x)?;
        positive("t-SNE", "perplexity", self.perplexity)?;
        if self.perplexity <= 1.0 || 3.0 * self.perplexity >= n as f64 || d < 2 {
            let got = format!("{} for {n} samples of {d} dimensions", self.perplexity);
            let expected = "above 1 and below a third of the samples, of two dimensions or more";
            return Err(Error::argument("t-SNE", "perplexity", got, expected));
        }
        let p = joint(&similarities(x, self.perplexity)?, n);
        let start = Pca::fit(x, 2)?.transform(x)?.to_vec();
        let scale = 1e-4 / deviation(&start).max(f64::MIN_POSITIVE);
        let mut y: Vec<f64> = start.iter().map(|&v| f64::from(v) * scale).collect();
        descend(&p, &mut y, self.steps);
        Ok(Tensor::from_vec(y.iter().map(|&v| v as f32).collect(), [n, 2])?)
    }
}

/// The deviation of the first coordinate.
fn deviation(points: &[f32]) -> f64 {
    let first: Vec<f64> = points.iter().step_by(2).map(|&v| f64::from(v)).collect();
    let n = first.len() as f64;
    let mean = first.iter().sum::<f64>() / n;
    (first.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()
}

/// The similarity of each sample (row) to the others, by bisection on the inverse
/// of twice the variance.
fn similarities(x: &Tensor, perplexity: f64) -> Result<Vec<f64>> {
    let x = x.detach().cast::<f64>();
    let squares = x.square().sum(1, true)?;
    let cross = x.matmul(&x.t()?)?.mul_scalar(-2.0);
    let far = cross.add(&squares)?.add(&squares.t()?)?.relu().to_vec();
    let n = x.dims()[0];
    let goal = perplexity.ln();
    let mut p = vec![0.0; n * n];
    for i in 0..n {
        let row = &far[i * n..(i + 1) * n];
        let near = row.iter().enumerate().filter(|(j, _)| *j != i);
        let nearest = near.map(|(_, &d)| d).fold(f64::INFINITY, f64::min);
        let (mut beta, mut low, mut high) = (1.0, 0.0, f64::INFINITY);
        let out = &mut p[i * n..(i + 1) * n];
        for _ in 0..64 {
            let (mut sum, mut weighted) = (0.0, 0.0);
            for (j, (out, &d)) in out.iter_mut().zip(row).enumerate() {
                // Relative to the nearest, so that something is left of it.
                let d = d - nearest;
                *out = if j == i { 0.0 } else { (-beta * d).exp() };
                sum += *out;
                weighted += *out * d;
            }
            let entropy = sum.ln() + beta * weighted / sum;
            out.iter_mut().for_each(|v| *v /= sum);
            if (entropy - goal).abs() < 1e-5 {
                break;
            }
            if entropy > goal {
                low = beta;
                beta = if high.is_finite() { f64::midpoint(beta, high) } else { beta * 2.0 };
            } else {
                high = beta;
                beta = f64::midpoint(beta, low);
            }
        }
    }
    Ok(p)
}

/// `(p_ij + p_ji) / 2n`.
fn joint(p: &[f64], n: usize) -> Vec<f64> {
    (0..n * n).map(|k| (p[k] + p[k % n * n + k / n]) / (2.0 * n as f64)).collect()
}

fn descend(p: &[f64], y: &mut [f64], steps: usize) {
    const EXAGGERATED: usize = 250;
    let n = y.len() / 2;
    let rate = (n as f64 / 48.0).max(50.0);
    let (mut speed, mut gains) = (vec![0.0; 2 * n], vec![1.0_f64; 2 * n]);
    let (mut kernel, mut gradient) = (vec![0.0; n * n], vec![0.0; 2 * n]);
    for step in 0..steps {
        let early = step < EXAGGERATED;
        let (factor, momentum) = if early { (12.0, 0.5) } else { (1.0, 0.8) };
        slope(p, y, factor, &mut kernel, &mut gradient);
        for k in 0..2 * n {
            let same = (gradient[k] > 0.0) == (speed[k] > 0.0);
            gains[k] = if same { gains[k] * 0.8 } else { gains[k] + 0.2 }.max(0.01);
            speed[k] = momentum * speed[k] - rate * gains[k] * gradient[k];
            y[k] += speed[k];
        }
        for axis in 0..2 {
            let mean = y.iter().skip(axis).step_by(2).sum::<f64>() / n as f64;
            y.iter_mut().skip(axis).step_by(2).for_each(|v| *v -= mean);
        }
    }
}

/// The gradient `4 Σ_j (p_ij - q_ij) (y_i - y_j) / (1 + |y_i - y_j|²)`.
fn slope(p: &[f64], y: &[f64], factor: f64, kernel: &mut [f64], gradient: &mut [f64]) {
    let n = y.len() / 2;
    let mut total = 0.0;
    for i in 0..n {
        for j in 0..i {
            let (a, b) = (y[2 * i] - y[2 * j], y[2 * i + 1] - y[2 * j + 1]);
            let k = 1.0 / (1.0 + a * a + b * b);
            kernel[i * n + j] = k;
            total += 2.0 * k;
        }
    }
    gradient.fill(0.0);
    for i in 0..n {
        for j in 0..i {
            let k = kernel[i * n + j];
            let pull = 4.0 * (factor * p[i * n + j] - k / total) * k;
            for axis in 0..2 {
                let force = pull * (y[2 * i + axis] - y[2 * j + axis]);
                gradient[2 * i + axis] += force;
                gradient[2 * j + axis] -= force;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn three_heaps_stay_heaps() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let noise: Tensor = Tensor::randn([90, 6], &mut rng);
        let at: Vec<f32> = (0..540).map(|k| if k % 6 == k / 6 % 3 { 12.0 } else { 0.0 }).collect();
        let x = noise.add(&Tensor::from_vec(at, [90, 6])?)?;
        let y = TSne::new(10.0).fit(&x)?;
        let found = crate::shallow::KMeans::new(3).fit(&y)?;
        for i in 0..90 {
            assert_eq!(found.labels[i], found.labels[i % 3], "sample {i}");
        }
        assert_eq!(TSne::new(10.0).fit(&x)?.to_vec(), y.to_vec());
        Ok(())
    }

    #[test]
    fn similarities_have_the_perplexity() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(6);
        let p = similarities(&Tensor::randn([50, 4], &mut rng), 8.0)?;
        for (i, row) in p.chunks(50).enumerate() {
            let entropy: f64 = row.iter().filter(|v| **v > 0.0).map(|v| -v * v.ln()).sum();
            assert!((entropy.exp() - 8.0).abs() < 1e-3 && row[i] == 0.0);
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
        Ok(())
    }

    #[test]
    fn the_gradient_is_that_of_the_divergence() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let n = 12;
        let p = joint(&similarities(&Tensor::randn([n, 3], &mut rng), 3.0)?, n);
        let y: Vec<f64> = Tensor::<f64>::randn([n, 2], &mut rng).to_vec();
        let divergence = |y: &[f64]| {
            let k = |i: usize, j: usize| {
                1.0 / (1.0 + (0..2).map(|a| (y[2 * i + a] - y[2 * j + a]).powi(2)).sum::<f64>())
            };
            let pairs =
                || (0..n).flat_map(|i| (0..n).filter(move |&j| j != i).map(move |j| (i, j)));
            let total: f64 = pairs().map(|(i, j)| k(i, j)).sum();
            pairs()
                .map(|(i, j)| p[i * n + j] * (p[i * n + j] / (k(i, j) / total)).ln())
                .sum::<f64>()
        };
        let (mut kernel, mut gradient) = (vec![0.0; n * n], vec![0.0; 2 * n]);
        slope(&p, &y, 1.0, &mut kernel, &mut gradient);
        for at in 0..2 * n {
            let moved = |by: f64| {
                let mut y = y.clone();
                y[at] += by;
                divergence(&y)
            };
            let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((numeric - gradient[at]).abs() < 1e-7, "{numeric} {}", gradient[at]);
        }
        Ok(())
    }

    #[test]
    fn too_few_samples_are_refused() {
        let error = TSne::new(30.0).fit(&Tensor::zeros([60, 3])).unwrap_err().to_string();
        assert!(error.contains("third"), "{error}");
    }
}
