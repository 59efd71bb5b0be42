//! Initial values of weights.
//!
//! Fans count what goes into and comes out of one unit: for a weight
//! `[out, in, ..kernel]` they are `in · |kernel|` and `out · |kernel|`.

use crate::{Error, Result};
use rand::{Rng, RngCore};
use tl_tensor::{Shape, Tensor};

/// Which fan a variance is kept over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Fan {
    /// What goes in: keeps the variance of activations.
    #[default]
    In,
    /// What comes out: keeps the variance of gradients.
    Out,
}

/// The function after a layer, for the gain that keeps the variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gain {
    /// None, or a sigmoid: 1.
    Linear,
    /// `tanh`: 5/3.
    Tanh,
    /// ReLU: √2.
    Relu,
    /// Leaky ReLU of this negative slope a: √(2 / (1 + a²)).
    LeakyRelu(f64),
    /// SELU: 3/4.
    Selu,
}

impl Gain {
    /// The factor.
    pub fn value(self) -> f64 {
        match self {
            Self::Linear => 1.0,
            Self::Tanh => 5.0 / 3.0,
            Self::Relu => 2.0_f64.sqrt(),
            Self::LeakyRelu(a) => (2.0 / (1.0 + a * a)).sqrt(),
            Self::Selu => 0.75,
        }
    }
}

/// Fan-in and fan-out of a weight.
pub fn fans(shape: &Shape) -> (usize, usize) {
    match shape.dims() {
        [] => (1, 1),
        [n] => (*n, *n),
        [out, inn, kernel @ ..] => {
            let area: usize = kernel.iter().product();
            (inn * area, out * area)
        }
    }
}

/// Uniform in `low..high`.
pub fn uniform(shape: impl Into<Shape>, low: f32, high: f32, rng: &mut dyn RngCore) -> Tensor {
    Tensor::uniform(shape, low, high, rng)
}

/// Normal with this mean and standard deviation.
pub fn normal(shape: impl Into<Shape>, mean: f32, std: f32, rng: &mut dyn RngCore) -> Tensor {
    Tensor::randn(shape, rng).affine(std, mean)
}

/// Normal, redrawn outside of `mean ± bound · std`.
///
/// # Errors
/// A bound or standard deviation that is not positive.
pub fn truncated_normal(
    shape: impl Into<Shape>,
    mean: f32,
    std: f32,
    bound: f32,
    rng: &mut dyn RngCore,
) -> Result<Tensor> {
    if !(bound > 0.0 && std > 0.0) {
        let got = format!("{std} within {bound} standard deviations");
        return Err(Error::argument("truncated_normal", "std", got, "positive numbers"));
    }
    let mut x = Tensor::<f32>::randn(shape, rng);
    x.update_in_place(|data| {
        for x in data {
            while x.abs() > bound {
                let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
                *x = (radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()) as f32;
            }
            *x = *x * std + mean;
        }
    });
    Ok(x)
}

/// Uniform in `±gain √(6 / (in + out))`. Glorot and Bengio 2010, eq. 16.
pub fn xavier_uniform(shape: impl Into<Shape>, gain: f64, rng: &mut dyn RngCore) -> Tensor {
    let shape = shape.into();
    let (fan_in, fan_out) = fans(&shape);
    let bound = (gain * (6.0 / (fan_in + fan_out).max(1) as f64).sqrt()) as f32;
    uniform(shape, -bound, bound, rng)
}

/// Normal of standard deviation `gain √(2 / (in + out))`. Glorot and Bengio 2010.
pub fn xavier_normal(shape: impl Into<Shape>, gain: f64, rng: &mut dyn RngCore) -> Tensor {
    let shape = shape.into();
    let (fan_in, fan_out) = fans(&shape);
    normal(shape, 0.0, (gain * (2.0 / (fan_in + fan_out).max(1) as f64).sqrt()) as f32, rng)
}

fn fan_of(shape: &Shape, fan: Fan) -> f64 {
    let (fan_in, fan_out) = fans(shape);
    (if fan == Fan::In { fan_in } else { fan_out }).max(1) as f64
}

/// Uniform in `±gain √(3 / fan)`. He et al. 2015, eq. 10.
pub fn kaiming_uniform(
    shape: impl Into<Shape>,
    gain: Gain,
    fan: Fan,
    rng: &mut dyn RngCore,
) -> Tensor {
    let shape = shape.into();
    let bound = (gain.value() * (3.0 / fan_of(&shape, fan)).sqrt()) as f32;
    uniform(shape, -bound, bound, rng)
}

/// Normal of standard deviation `gain / √fan`. He et al. 2015, eq. 10.
pub fn kaiming_normal(
    shape: impl Into<Shape>,
    gain: Gain,
    fan: Fan,
    rng: &mut dyn RngCore,
) -> Tensor {
    let shape = shape.into();
    normal(shape, 0.0, (gain.value() / fan_of(&shape, fan).sqrt()) as f32, rng)
}

/// Rows (or columns, if there are fewer) that are orthonormal, times `gain`,
/// of the weight seen as `[out, everything else]`. Saxe et al. 2014.
///
/// # Errors
/// Fewer than two dimensions.
pub fn orthogonal(shape: impl Into<Shape>, gain: f32, rng: &mut dyn RngCore) -> Result<Tensor> {
    let shape = shape.into();
    if shape.rank() < 2 {
        return Err(tl_tensor::Error::shape("orthogonal", &shape, "at least two dimensions").into());
    }
    let (rows, columns) = (shape[0], shape[1..].iter().product::<usize>());
    let (short, long) = (rows.min(columns), rows.max(columns));
    // Gram and Schmidt on random vectors, twice for accuracy.
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(short);
    while vectors.len() < short {
        let mut v = Tensor::<f64>::randn(long, rng).to_vec();
        for _ in 0..2 {
            for u in &vectors {
                let along: f64 = u.iter().zip(&v).map(|(a, b)| a * b).sum();
                v.iter_mut().zip(u).for_each(|(v, u)| *v -= along * u);
            }
        }
        let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        if norm > 1e-8 {
            v.iter_mut().for_each(|x| *x /= norm);
            vectors.push(v);
        }
    }
    let flat: Vec<f32> = vectors.concat().iter().map(|&x| x as f32 * gain).collect();
    let matrix = Tensor::from_vec(flat, [short, long])?;
    let matrix = if rows <= columns { matrix } else { matrix.t()? };
    Ok(matrix.reshape(shape)?)
}

/// The identity as a convolution: `[out, in, ..kernel]` with 1 at the centre of
/// kernel `[i, i]`.
///
/// # Errors
/// Fewer than three dimensions.
pub fn dirac(shape: impl Into<Shape>) -> Result<Tensor> {
    let shape = shape.into();
    if shape.rank() < 3 {
        return Err(tl_tensor::Error::shape("dirac", &shape, "[out, in, ..kernel]").into());
    }
    let kernel = &shape[2..];
    let area: usize = kernel.iter().product();
    let centre = kernel.iter().fold(0, |at, &k| at * k + k / 2);
    let mut data = vec![0.0; shape.numel()];
    for i in 0..shape[0].min(shape[1]) {
        data[(i * shape[1] + i) * area + centre] = 1.0;
    }
    Ok(Tensor::from_vec(data, shape)?)
}

/// PyTorch's default for linear and convolution layers: uniform in `±1/√in`,
/// for weight and bias alike (its `kaiming_uniform` with a = √5).
pub(crate) fn by_fan_in(shape: Shape, fan_in: usize, rng: &mut dyn RngCore) -> Tensor {
    let bound = 1.0 / (fan_in.max(1) as f32).sqrt();
    uniform(shape, -bound, bound, rng)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn std(x: &Tensor) -> f32 {
        x.std(.., false, false).unwrap().item().unwrap()
    }

    #[test]
    fn spreads_are_those_of_the_papers() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let shape = [64, 32, 3, 3];
        let close = |x: Tensor, want: f64| {
            let got = f64::from(std(&x));
            assert!((got / want - 1.0).abs() < 0.03, "{got} instead of {want}");
        };
        let (i, o) = (288.0_f64, 576.0_f64);
        close(xavier_uniform(shape, 1.0, &mut rng), (2.0 / (i + o)).sqrt());
        close(xavier_normal(shape, 2.0, &mut rng), 2.0 * (2.0 / (i + o)).sqrt());
        close(kaiming_uniform(shape, Gain::Relu, Fan::In, &mut rng), (2.0 / i).sqrt());
        close(kaiming_normal(shape, Gain::LeakyRelu(1.0), Fan::Out, &mut rng), (1.0 / o).sqrt());
        let t = truncated_normal(10_000, 1.0, 0.5, 1.0, &mut rng).unwrap();
        assert!(t.to_vec().iter().all(|x| (0.5..=1.5).contains(x)));
    }

    #[test]
    fn orthogonal_rows_and_columns() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for shape in [[4, 7], [7, 4]] {
            let w = orthogonal(shape, 1.0, &mut rng).unwrap();
            let gram = if shape[0] < shape[1] {
                w.matmul(&w.t().unwrap())
            } else {
                w.t().unwrap().matmul(&w)
            };
            for (a, b) in gram.unwrap().to_vec().iter().zip(Tensor::<f32>::eye(4).to_vec()) {
                approx::assert_abs_diff_eq!(a, &b, epsilon = 1e-5);
            }
        }
        assert_eq!(dirac([2, 2, 3]).unwrap().to_vec()[1], 1.0);
    }
}
