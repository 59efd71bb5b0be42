//! Maximum and minimum over axes, and where they are.

use super::reduce::Reduced;
use crate::{
    Axes, Elem, Error, Indices, MAX_RANK, Op, Result, Shape, Tensor, Value, Vjp, kernel::reduce,
};

/// The largest or smallest element over axes. The gradient is shared evenly
/// among those that are equal to it, as PyTorch's `amax` does.
struct Extremum<E: Elem> {
    name: &'static str,
    x: Value<E>,
    y: Value<E>,
    kept: Shape,
    axes: [bool; MAX_RANK],
}

impl<E: Elem> Op<E> for Extremum<E> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        let (x, y) = (Tensor::constant(self.x.clone()), Tensor::constant(self.y.clone()));
        let hits = x.eq(&y)?;
        let axes: Vec<isize> =
            (0..x.rank()).filter(|&a| self.axes[a]).map(|a| a as isize).collect();
        let share = hits.div(&hits.sum(axes.as_slice(), true)?)?;
        cx.give(0, || g.reshape(self.kept)?.mul(&share))
    }
}

impl<E: Elem> Tensor<E> {
    fn extremum(
        &self,
        name: &'static str,
        axes: impl Into<Axes>,
        keepdim: bool,
        better: impl Fn(E, E) -> bool + Sync + Send,
        worst: E,
    ) -> Result<Self> {
        let r = Reduced::new(name, self.shape(), &axes.into())?;
        if r.count == 0 {
            return Err(Error::shape(name, self.shape(), "at least one element to choose from"));
        }
        let y =
            reduce::fold(
                &self.value,
                &r,
                worst,
                |a, x| {
                    if better(x, a) || x.is_nan() { x } else { a }
                },
            );
        Ok(Self::from_op(y.reshaped(r.shape(keepdim)), &[self], || Extremum {
            name,
            x: self.value.clone(),
            y,
            kept: r.kept,
            axes: r.axes,
        }))
    }

    /// The largest element over `axes`; NaN if one is. Equal ones share the
    /// gradient evenly (as PyTorch's `amax`).
    ///
    /// # Errors
    /// An axis is outside of the shape or named twice; there is no element.
    pub fn max(&self, axes: impl Into<Axes>, keepdim: bool) -> Result<Self> {
        self.extremum("max", axes, keepdim, |x, a| x > a, -E::INFINITY)
    }

    /// The smallest element over `axes`; NaN if one is. Equal ones share the
    /// gradient evenly (as PyTorch's `amin`).
    ///
    /// # Errors
    /// An axis is outside of the shape or named twice; there is no element.
    pub fn min(&self, axes: impl Into<Axes>, keepdim: bool) -> Result<Self> {
        self.extremum("min", axes, keepdim, |x, a| x < a, E::INFINITY)
    }

    /// The index along `axis` of the largest element, the first of equal ones;
    /// that of the first NaN if there is one. The axis is dropped.
    ///
    /// # Errors
    /// The axis is outside of the shape or of size 0.
    pub fn argmax(&self, axis: isize) -> Result<Indices> {
        self.pick("argmax", axis, |x, best| x > best)
    }

    /// The index along `axis` of the smallest element, the first of equal
    /// ones; that of the first NaN if there is one. The axis is dropped.
    ///
    /// # Errors
    /// The axis is outside of the shape or of size 0.
    pub fn argmin(&self, axis: isize) -> Result<Indices> {
        self.pick("argmin", axis, |x, best| x < best)
    }

    fn pick(
        &self,
        op: &'static str,
        axis: isize,
        better: impl Fn(E, E) -> bool,
    ) -> Result<Indices> {
        let r = Reduced::new(op, self.shape(), &axis.into())?;
        if r.count == 0 {
            return Err(Error::shape(op, self.shape(), "at least one element to choose from"));
        }
        let found = reduce::pick(&self.value, &r, |x, best| {
            !best.is_nan() && (better(x, best) || x.is_nan())
        });
        Indices::from_vec(found, r.dropped)
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;

    #[test]
    fn ties_share_and_nan_wins() {
        let x = Tensor::from_slice(&[1.0_f64, 3.0, 3.0, 2.0], 4).unwrap().requires_grad();
        let y = x.max(0, false).unwrap();
        assert_eq!(y.backward().unwrap().get(&x).unwrap().to_vec(), [0.0, 0.5, 0.5, 0.0]);
        assert_eq!(x.argmax(0).unwrap().as_slice(), [1]);
        let nan = Tensor::from_slice(&[1.0_f64, f64::NAN, 9.0], 3).unwrap();
        assert!(nan.max(0, false).unwrap().item().unwrap().is_nan());
        assert_eq!(nan.argmin(0).unwrap().as_slice(), [1]);
        assert!(Tensor::<f32>::zeros([0, 2]).max(0, false).is_err());
    }
}
