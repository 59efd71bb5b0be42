//! Sums, means, products and norms.

use crate::{Axes, Elem, MAX_RANK, Op, Result, Shape, Tensor, Value, Vjp, kernel::reduce};

/// What a reduction over `axes` gives, with and without the axes of size 1.
#[derive(Clone, Copy)]
pub(crate) struct Reduced {
    pub(crate) axes: [bool; MAX_RANK],
    /// With every reduced axis of size 1.
    pub(crate) kept: Shape,
    /// Without them.
    pub(crate) dropped: Shape,
    /// Elements that go into one.
    pub(crate) count: usize,
}

impl Reduced {
    pub(crate) fn new(op: &'static str, shape: &Shape, axes: &Axes) -> Result<Self> {
        let axes = axes.resolve(op, shape)?;
        let (mut kept, mut dropped, mut count) = (*shape, *shape, 1);
        for axis in (0..shape.rank()).rev().filter(|&a| axes[a]) {
            count *= shape[axis];
            kept = kept.with(axis, 1);
            dropped = dropped.without(axis);
        }
        Ok(Self { axes, kept, dropped, count })
    }

    pub(crate) fn shape(&self, keepdim: bool) -> Shape {
        if keepdim { self.kept } else { self.dropped }
    }
}

struct Sum {
    input: Shape,
    kept: Shape,
}

impl<E: Elem> Op<E> for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || g.reshape(self.kept)?.broadcast_to(self.input))
    }
}

struct Prod<E: Elem> {
    x: Value<E>,
    kept: Shape,
    axes: [bool; MAX_RANK],
}

impl<E: Elem> Op<E> for Prod<E> {
    fn name(&self) -> &'static str {
        "prod"
    }

    /// The product of all others, from running products on both sides: right
    /// also where elements are 0.
    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        let x = cx.input(0, &self.x);
        cx.give(0, || {
            let rank = x.rank();
            let order: Vec<isize> = (0..rank)
                .filter(|&a| !self.axes[a])
                .chain((0..rank).filter(|&a| self.axes[a]))
                .map(|a| a as isize)
                .collect();
            let lead: usize = (0..rank).filter(|&a| !self.axes[a]).map(|a| x.dims()[a]).product();
            let moved = x.permute(&order)?;
            let count = x.numel().checked_div(lead).unwrap_or(0);
            let rows = moved.reshape([lead, count])?;
            let others = others(&rows)?.reshape(*moved.shape())?;
            let mut back = vec![0; rank];
            for (to, &from) in order.iter().enumerate() {
                back[from as usize] = to as isize;
            }
            g.reshape(self.kept)?.mul(&others.permute(&back)?)
        })
    }
}

/// For each element the product of the others in its row, by halving: the
/// others of a half are its own others times the product of the other half.
fn others<E: Elem>(rows: &Tensor<E>) -> Result<Tensor<E>> {
    let count = rows.dims()[1];
    if count <= 1 {
        return Ok(Tensor::ones(rows.shape()));
    }
    let half = count / 2;
    let (left, right) = (rows.narrow(1, 0, half)?, rows.narrow(1, half, count - half)?);
    let left_others = others(&left)?.mul(&right.prod(1, true)?)?;
    let right_others = others(&right)?.mul(&left.prod(1, true)?)?;
    Tensor::cat(&[&left_others, &right_others], 1)
}

impl<E: Elem> Tensor<E> {
    /// The sum over `axes`. The sum of no elements is 0.
    ///
    /// Summed in a fixed order that does not depend on the number of threads.
    ///
    /// # Errors
    /// An axis is outside of the shape or named twice.
    pub fn sum(&self, axes: impl Into<Axes>, keepdim: bool) -> Result<Self> {
        let r = Reduced::new("sum", self.shape(), &axes.into())?;
        let value = reduce::sum(&self.value, &r).reshaped(r.shape(keepdim));
        let input = *self.shape();
        Ok(Self::from_op(value, &[self], || Sum { input, kept: r.kept }))
    }

    /// The sum of all elements, as a scalar.
    pub fn sum_all(&self) -> Self {
        let r = Reduced {
            axes: [true; MAX_RANK],
            kept: ones(self.rank()),
            dropped: ().into(),
            count: self.numel(),
        };
        let value = reduce::sum(&self.value, &r).reshaped(r.dropped);
        let input = *self.shape();
        Self::from_op(value, &[self], || Sum { input, kept: r.kept })
    }

    /// The arithmetic mean over `axes`; NaN of no elements.
    ///
    /// # Errors
    /// An axis is outside of the shape or named twice.
    pub fn mean(&self, axes: impl Into<Axes>, keepdim: bool) -> Result<Self> {
        let axes = axes.into();
        let count = Reduced::new("mean", self.shape(), &axes)?.count;
        Ok(self.sum(axes, keepdim)?.mul_scalar(E::from_f64(1.0 / count as f64)))
    }

    /// The mean of all elements, as a scalar.
    pub fn mean_all(&self) -> Self {
        self.sum_all().mul_scalar(E::from_f64(1.0 / self.numel() as f64))
    }

    /// The product over `axes`; of no elements it is 1. The derivative is right
    /// where elements are 0, too.
    ///
    /// # Errors
    /// An axis is outside of the shape or named twice.
    pub fn prod(&self, axes: impl Into<Axes>, keepdim: bool) -> Result<Self> {
        let r = Reduced::new("prod", self.shape(), &axes.into())?;
        let value = reduce::fold(&self.value, &r, E::ONE, |a, x| a * x).reshaped(r.shape(keepdim));
        Ok(Self::from_op(value, &[self], || Prod {
            x: self.value.clone(),
            kept: r.kept,
            axes: r.axes,
        }))
    }

    /// The Euclidean norm `√Σx²` over `axes`; where it is 0 the derivative is
    /// 0, as in PyTorch.
    ///
    /// # Errors
    /// An axis is outside of the shape or named twice.
    pub fn norm(&self, axes: impl Into<Axes>, keepdim: bool) -> Result<Self> {
        let squares = self.square().sum(axes, keepdim)?;
        let zero = squares.eq_scalar(E::ZERO);
        // Where the sum is 0, the root is taken of 1 instead and hidden again:
        // the infinite slope of the root never meets the zero of the square.
        let root = squares.add(&zero)?.sqrt();
        root.mul(&zero.affine(-E::ONE, E::ONE))
    }

    /// `ln Σ eˣ` over `axes`, without overflow; of no elements it is -∞.
    ///
    /// # Errors
    /// An axis is outside of the shape or named twice.
    pub fn logsumexp(&self, axes: impl Into<Axes>, keepdim: bool) -> Result<Self> {
        let axes = axes.into();
        let r = Reduced::new("logsumexp", self.shape(), &axes)?;
        let peak =
            reduce::fold(
                &self.value,
                &r,
                -E::INFINITY,
                |a, x| {
                    if x > a || x.is_nan() { x } else { a }
                },
            );
        // An infinite peak is not subtracted: ∞ - ∞ is not a number.
        let peak = Self::constant(peak)
            .map_constant(|x| if x.is_finite() || x.is_nan() { x } else { E::ZERO });
        let sum = self.sub(&peak)?.exp().sum(axes, true)?;
        sum.log().add(&peak)?.reshape(r.shape(keepdim))
    }
}

fn ones(rank: usize) -> Shape {
    let mut shape = Shape::from([1; MAX_RANK]);
    for _ in rank..MAX_RANK {
        shape = shape.without(0);
    }
    shape
}

#[cfg(test)]
mod tests {
    use crate::Tensor;

    #[test]
    fn empty_and_scalar_tensors_reduce() {
        let none = Tensor::<f64>::zeros([0, 3]);
        assert_eq!(none.sum(0, false).unwrap().to_vec(), [0.0; 3]);
        assert_eq!(none.prod(.., false).unwrap().to_vec(), [1.0]);
        assert_eq!(none.logsumexp(0, false).unwrap().to_vec(), [f64::NEG_INFINITY; 3]);
        let one = Tensor::scalar(3.0_f64);
        assert_eq!(one.sum(.., true).unwrap().item().unwrap(), 3.0);
        assert!(one.sum(0, false).is_err());
    }

    #[test]
    fn logsumexp_does_not_overflow() {
        let x = Tensor::from_slice(&[1000.0_f32, 1000.0, f32::NEG_INFINITY], 3).unwrap();
        let y = x.logsumexp(0, false).unwrap().item().unwrap();
        approx::assert_relative_eq!(y, 1000.0 + 2.0_f32.ln(), max_relative = 1e-6);
    }

    #[test]
    fn the_norm_of_zero_has_a_zero_derivative() {
        let x = Tensor::<f64>::zeros(3).requires_grad();
        let y = x.norm(0, false).unwrap();
        assert_eq!(y.item().unwrap(), 0.0);
        assert_eq!(y.backward().unwrap().get(&x).unwrap().to_vec(), [0.0; 3]);
    }
}
