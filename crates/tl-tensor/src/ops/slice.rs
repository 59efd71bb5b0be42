//! Parts of an axis.

use crate::{Elem, Error, MAX_RANK, Op, Result, Tensor, Value, Vjp};

/// Every `step`-th entry of an axis from `start` on.
#[derive(Clone, Copy)]
struct Slice {
    axis: usize,
    start: usize,
    step: usize,
    /// Size of the axis before.
    size: usize,
}

impl<E: Elem> Op<E> for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || Ok(g.unslice(*self)))
    }
}

/// The reverse of [`Slice`]: entries at their places, 0 elsewhere.
struct Unslice {
    slice: Slice,
    count: usize,
}

impl<E: Elem> Op<E> for Unslice {
    fn name(&self) -> &'static str {
        "unslice"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || Ok(g.take_slice(self.slice, self.count)))
    }
}

impl<E: Elem> Tensor<E> {
    fn take_slice(&self, slice: Slice, count: usize) -> Self {
        let mut strides = [0; MAX_RANK];
        strides[..self.rank()].copy_from_slice(&self.value.strides());
        let offset = if count == 0 { 0 } else { slice.start * strides[slice.axis] };
        strides[slice.axis] *= slice.step;
        let shape = self.shape().with(slice.axis, count);
        let value = self.value.view(offset, shape, strides);
        Self::from_op(value, &[self], || slice)
    }

    fn unslice(&self, slice: Slice) -> Self {
        let Slice { axis, start, step, size } = slice;
        let count = self.dims()[axis];
        let inner: usize = self.dims()[axis + 1..].iter().product();
        let x = self.value.contiguous();
        let data = &x.raw()[..x.numel()];
        let value = Value::build_zeroed(self.shape().with(axis, size), |out| {
            let blocks = out.chunks_exact_mut((size * inner).max(1));
            for (out, data) in blocks.zip(data.chunks_exact((count * inner).max(1))) {
                for (i, row) in data.chunks_exact(inner.max(1)).enumerate() {
                    out[(start + i * step) * inner..][..inner].copy_from_slice(row);
                }
            }
        });
        Self::from_op(value, &[self], || Unslice { slice, count })
    }

    /// Entries `start..stop` of an axis, every `step`-th of them. Without a copy.
    ///
    /// # Errors
    /// The axis is outside of the shape, the range outside of the axis, or the
    /// step 0.
    pub fn slice(&self, axis: isize, start: usize, stop: usize, step: usize) -> Result<Self> {
        let at = self.shape().axis("slice", axis)?;
        let size = self.dims()[at];
        if step == 0 {
            return Err(Error::argument("slice", "step", "0", "at least 1"));
        }
        if start > stop || stop > size {
            return Err(Error::argument(
                "slice",
                "range",
                format!("{start}..{stop}"),
                format!("a range within 0..{size} (axis {axis} of shape {})", self.shape()),
            ));
        }
        let count = (stop - start).div_ceil(step);
        Ok(self.take_slice(Slice { axis: at, start, step, size }, count))
    }

    /// `length` entries of an axis from `start` on. Without a copy.
    ///
    /// # Errors
    /// The axis is outside of the shape, or the range outside of the axis.
    pub fn narrow(&self, axis: isize, start: usize, length: usize) -> Result<Self> {
        self.slice(axis, start, start.saturating_add(length), 1)
    }

    /// Entry `index` of an axis, which is dropped. Without a copy.
    ///
    /// # Errors
    /// The axis is outside of the shape, or the index outside of the axis.
    pub fn select(&self, axis: isize, index: usize) -> Result<Self> {
        let size = self.size(axis)?;
        if index >= size {
            return Err(Error::Index { op: "select", index, size });
        }
        self.narrow(axis, index, 1)?.squeeze(axis)
    }

    /// Consecutive parts of an axis, of the sizes given.
    ///
    /// # Errors
    /// The axis is outside of the shape, or the sizes do not add up to its own.
    pub fn split(&self, sizes: &[usize], axis: isize) -> Result<Vec<Self>> {
        let size = self.size(axis)?;
        if sizes.iter().sum::<usize>() != size {
            return Err(Error::argument(
                "split",
                "sizes",
                format!("{sizes:?}"),
                format!("sizes that add up to {size}"),
            ));
        }
        let mut start = 0;
        sizes
            .iter()
            .map(|&size| {
                start += size;
                self.narrow(axis, start - size, size)
            })
            .collect()
    }

    /// `count` consecutive parts of an axis, equal but for the last, which may
    /// be smaller; as PyTorch's `chunk`, fewer if the axis is too short.
    ///
    /// # Errors
    /// The axis is outside of the shape, or `count` is 0.
    pub fn chunk(&self, count: usize, axis: isize) -> Result<Vec<Self>> {
        let size = self.size(axis)?;
        if count == 0 {
            return Err(Error::argument("chunk", "count", "0", "at least 1"));
        }
        let each = size.div_ceil(count).max(1);
        (0..size.div_ceil(each).max(1))
            .map(|i| self.narrow(axis, i * each, each.min(size - i * each)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::shape::tests::counting;

    #[test]
    fn slices_of_slices_of_transposes_are_right() {
        let x = counting([2, 3, 4]);
        let y = x.permute(&[2, 1, 0]).unwrap().slice(0, 1, 4, 2).unwrap().select(2, 1).unwrap();
        assert_eq!(y.to_vec(), [13.0, 17.0, 21.0, 15.0, 19.0, 23.0]);
        assert_eq!(y.flip(1).unwrap().to_vec(), [21.0, 17.0, 13.0, 23.0, 19.0, 15.0]);
        assert_eq!(y.roll(1, 1).unwrap().to_vec(), [21.0, 13.0, 17.0, 23.0, 15.0, 19.0]);
    }
}
