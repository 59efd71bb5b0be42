//! Entries of an axis in another order.

use crate::{Axes, Elem, MAX_RANK, Op, Result, Tensor, Value, Vjp, kernel::walk};

struct Flip {
    axes: [bool; MAX_RANK],
}

impl<E: Elem> Op<E> for Flip {
    fn name(&self) -> &'static str {
        "flip"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || Ok(g.flip_axes(self.axes)))
    }
}

impl<E: Elem> Tensor<E> {
    /// In reverse order along `axes`.
    ///
    /// # Errors
    /// An axis is outside of the shape or named twice.
    pub fn flip(&self, axes: impl Into<Axes>) -> Result<Self> {
        let axes = axes.into().resolve("flip", self.shape())?;
        Ok(self.flip_axes(axes))
    }

    fn flip_axes(&self, axes: [bool; MAX_RANK]) -> Self {
        let x = &self.value;
        let data = x.raw();
        let mut strides = [0; MAX_RANK];
        strides[..x.shape().rank()].copy_from_slice(&x.strides());
        let value = Value::build(*x.shape(), |out| {
            let row_major = x.shape().strides();
            // Read in order; write to the mirrored place.
            let position = |mut flat: usize| {
                let mut to = 0;
                for axis in 0..x.shape().rank() {
                    let index = flat / row_major[axis];
                    flat %= row_major[axis];
                    let index = if axes[axis] { x.shape()[axis] - 1 - index } else { index };
                    to += index * row_major[axis];
                }
                to
            };
            let mut flat = 0;
            walk::runs(x.shape(), [strides], |[from], [step], length| {
                for i in 0..length {
                    out[position(flat)] = data[from + i * step];
                    flat += 1;
                }
            });
        });
        Self::from_op(value, &[self], || Flip { axes })
    }

    /// Shifted along an axis by `shift` places; what leaves at one end comes
    /// in at the other.
    ///
    /// # Errors
    /// The axis is outside of the shape.
    pub fn roll(&self, axis: isize, shift: isize) -> Result<Self> {
        let size = self.size(axis)?;
        if size == 0 {
            return Ok(self.clone());
        }
        let cut = size - shift.rem_euclid(size as isize) as usize;
        let (head, tail) = (self.narrow(axis, 0, cut)?, self.narrow(axis, cut, size - cut)?);
        Self::cat(&[&tail, &head], axis)
    }
}
