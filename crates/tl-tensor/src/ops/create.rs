//! New tensors. All are constants until [`Tensor::requires_grad`].

use crate::{Elem, Error, Result, Shape, Tensor, Value, buffer::Buffer};
use rand::Rng;

/// Row-major data under a shape.
fn row_major<E: Elem>(op: &'static str, data: &[E], shape: Shape) -> Result<Tensor<E>> {
    if data.len() != shape.numel() {
        let expected = format!("a shape of {} elements, as the data", data.len());
        return Err(Error::shape(op, &shape, expected));
    }
    Ok(Tensor::constant(Value::from_slice(data, shape)))
}

impl<E: Elem> Tensor<E> {
    /// Every element is `value`.
    pub fn full(shape: impl Into<Shape>, value: E) -> Self {
        let shape = shape.into();
        Self::constant(Value::owned(Buffer::filled(shape.numel(), value), shape))
    }

    /// Every element is 0.
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        Self::full(shape, E::ZERO)
    }

    /// Every element is 1.
    pub fn ones(shape: impl Into<Shape>) -> Self {
        Self::full(shape, E::ONE)
    }

    /// A tensor of no dimensions and one element.
    pub fn scalar(value: E) -> Self {
        Self::full((), value)
    }

    /// The n×n identity matrix.
    pub fn eye(n: usize) -> Self {
        Self::constant(Value::build_zeroed(Shape::from([n, n]), |out| {
            out.iter_mut().step_by(n + 1).for_each(|x| *x = E::ONE);
        }))
    }

    /// `start, start + step, ..` up to but without `stop`.
    ///
    /// # Errors
    /// `step` is 0, does not lead from `start` to `stop`, or is not finite.
    pub fn arange(start: E, stop: E, step: E) -> Result<Self> {
        let count = ((stop.to_f64() - start.to_f64()) / step.to_f64()).ceil();
        if !count.is_finite() || count < 0.0 {
            return Err(Error::argument(
                "arange",
                "step",
                format!("{step} (from {start} to {stop})"),
                "a step that leads from start to stop",
            ));
        }
        let shape = Shape::new(&[count as usize])?;
        Ok(Self::constant(Value::build(shape, |out| {
            for (i, x) in out.iter_mut().enumerate() {
                *x = E::from_f64(start.to_f64() + i as f64 * step.to_f64());
            }
        })))
    }

    /// `count` evenly spaced numbers from `start` to `stop`, both included.
    pub fn linspace(start: E, stop: E, count: usize) -> Self {
        let (a, b) = (start.to_f64(), stop.to_f64());
        Self::constant(Value::build(Shape::from(count), |out| {
            let last = count.saturating_sub(1).max(1) as f64;
            for (i, x) in out.iter_mut().enumerate() {
                *x = E::from_f64(a + (b - a) * (i as f64 / last));
            }
        }))
    }

    /// Row-major data under a shape.
    ///
    /// # Errors
    /// The number of elements is not the shape's.
    pub fn from_vec(data: Vec<E>, shape: impl Into<Shape>) -> Result<Self> {
        row_major("from_vec", &data, shape.into())
    }

    /// Row-major data under a shape; copies.
    ///
    /// # Errors
    /// The number of elements is not the shape's.
    pub fn from_slice(data: &[E], shape: impl Into<Shape>) -> Result<Self> {
        row_major("from_slice", data, shape.into())
    }

    /// Independent numbers from the standard normal distribution
    /// (Box and Muller's method, in double precision).
    pub fn randn<R: Rng + ?Sized>(shape: impl Into<Shape>, rng: &mut R) -> Self {
        let shape = shape.into();
        Self::constant(Value::build(shape, |out| {
            for pair in out.chunks_mut(2) {
                let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
                let (sin, cos) = (std::f64::consts::TAU * rng.random::<f64>()).sin_cos();
                pair[0] = E::from_f64(radius * cos);
                if let Some(second) = pair.get_mut(1) {
                    *second = E::from_f64(radius * sin);
                }
            }
        }))
    }

    /// Independent numbers, uniform in `low..high`.
    pub fn uniform<R: Rng + ?Sized>(shape: impl Into<Shape>, low: E, high: E, rng: &mut R) -> Self {
        let shape = shape.into();
        let (a, b) = (low.to_f64(), high.to_f64());
        Self::constant(Value::build(shape, |out| {
            for x in out {
                *x = E::from_f64(a + (b - a) * rng.random::<f64>());
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn ranges_end_where_they_should() {
        assert_eq!(Tensor::arange(0.0_f64, 1.0, 0.25).unwrap().to_vec(), [0.0, 0.25, 0.5, 0.75]);
        assert_eq!(Tensor::arange(3.0_f32, 0.0, -1.0).unwrap().to_vec(), [3.0, 2.0, 1.0]);
        assert!(Tensor::arange(0.0_f32, 1.0, 0.0).is_err());
        assert!(Tensor::arange(0.0_f32, 1.0, -1.0).is_err());
        assert_eq!(Tensor::linspace(0.0_f64, 1.0, 3).to_vec(), [0.0, 0.5, 1.0]);
        assert_eq!(Tensor::linspace(2.0_f64, 5.0, 1).to_vec(), [2.0]);
    }

    #[test]
    fn normal_numbers_have_their_moments() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let x = Tensor::<f64>::randn(40_001, &mut rng).to_vec();
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let second = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let fourth = x.iter().map(|x| x.powi(4)).sum::<f64>() / x.len() as f64;
        assert!(mean.abs() < 0.02 && (second - 1.0).abs() < 0.03 && (fourth - 3.0).abs() < 0.2);
    }
}
