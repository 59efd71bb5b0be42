//! Other views of the same numbers, and copies in another order.

use crate::{Axes, Elem, Error, MAX_RANK, Op, Result, Shape, Tensor, Value, Vjp, kernel::walk};

/// Any operation whose gradient is its own under the input's shape.
struct Reshape {
    name: &'static str,
    input: Shape,
}

impl<E: Elem> Op<E> for Reshape {
    fn name(&self) -> &'static str {
        self.name
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || g.reshape(self.input))
    }
}

struct Permute {
    order: [usize; MAX_RANK],
    rank: usize,
}

impl<E: Elem> Op<E> for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        let mut back = [0isize; MAX_RANK];
        for (to, &from) in self.order[..self.rank].iter().enumerate() {
            back[from] = to as isize;
        }
        cx.give(0, || g.permute(&back[..self.rank]))
    }
}

struct Broadcast {
    input: Shape,
}

impl<E: Elem> Op<E> for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast_to"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || g.sum_to(&self.input))
    }
}

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

struct Cat {
    axis: usize,
    sizes: Vec<usize>,
}

impl<E: Elem> Op<E> for Cat {
    fn name(&self) -> &'static str {
        "cat"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        let mut start = 0;
        for (i, &size) in self.sizes.iter().enumerate() {
            cx.give(i, || g.narrow(self.axis as isize, start, size))?;
            start += size;
        }
        Ok(())
    }
}

impl<E: Elem> Tensor<E> {
    fn viewed(&self, name: &'static str, value: Value<E>) -> Self {
        let input = *self.shape();
        Self::from_op(value, &[self], || Reshape { name, input })
    }

    /// The same elements in row-major order under another shape. Copies only
    /// if they are not in that order yet.
    ///
    /// # Errors
    /// The number of elements differs.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if &shape == self.shape() {
            return Ok(self.clone());
        }
        if shape.numel() != self.numel() {
            return Err(Error::shapes(
                "reshape",
                self.shape(),
                &shape,
                format!("a shape of {} elements", self.numel()),
            ));
        }
        Ok(self.viewed("reshape", self.value.reshaped(shape)))
    }

    /// The same elements in row-major order in memory; itself if it is so.
    pub fn contiguous(&self) -> Self {
        if self.is_contiguous() {
            return self.clone();
        }
        self.viewed("contiguous", self.value.contiguous())
    }

    /// Axes `start..=end` joined to one; negative ones count from the end.
    ///
    /// # Errors
    /// An axis is outside of the shape, or `end` is before `start`.
    pub fn flatten(&self, start: isize, end: isize) -> Result<Self> {
        let shape = self.shape();
        let (from, to) = (shape.axis("flatten", start)?, shape.axis("flatten", end)?);
        if to < from {
            return Err(Error::argument("flatten", "end", end.to_string(), "an axis after start"));
        }
        let dims = self.dims();
        let joined: usize = dims[from..=to].iter().product();
        let list: Vec<usize> = dims[..from]
            .iter()
            .copied()
            .chain([joined])
            .chain(dims[to + 1..].iter().copied())
            .collect();
        self.reshape(Shape::new(&list)?)
    }

    /// The axes in another order: axis `i` of the result is axis `order[i]`.
    /// Without a copy.
    ///
    /// # Errors
    /// `order` does not name each axis once.
    pub fn permute(&self, order: &[isize]) -> Result<Self> {
        let rank = self.rank();
        let mut axes = [0; MAX_RANK];
        let mut seen = [false; MAX_RANK];
        if order.len() != rank {
            return Err(Error::argument(
                "permute",
                "order",
                format!("{order:?}"),
                format!("{rank} axes, one for each of shape {}", self.shape()),
            ));
        }
        for (to, &from) in order.iter().enumerate() {
            let from = self.shape().axis("permute", from)?;
            if seen[from] {
                return Err(Error::argument(
                    "permute",
                    "order",
                    format!("{order:?}"),
                    "each axis named once",
                ));
            }
            seen[from] = true;
            axes[to] = from;
        }
        let (mut shape, mut strides) = (*self.shape(), [0; MAX_RANK]);
        for to in 0..rank {
            shape = shape.with(to, self.dims()[axes[to]]);
            strides[to] = self.value.strides()[axes[to]];
        }
        let value = self.value.view(0, shape, strides);
        Ok(Self::from_op(value, &[self], || Permute { order: axes, rank }))
    }

    /// Two axes exchanged. Without a copy.
    ///
    /// # Errors
    /// An axis is outside of the shape.
    pub fn transpose(&self, a: isize, b: isize) -> Result<Self> {
        let (a, b) = (self.shape().axis("transpose", a)?, self.shape().axis("transpose", b)?);
        let mut order = [0, 1, 2, 3, 4, 5];
        order.swap(a, b);
        self.permute(&order[..self.rank()])
    }

    /// The last two axes exchanged: the transposed matrix, or a batch of them.
    /// Without a copy.
    ///
    /// # Errors
    /// Fewer than two axes.
    pub fn t(&self) -> Result<Self> {
        if self.rank() < 2 {
            return Err(Error::shape("t", self.shape(), "at least two dimensions"));
        }
        self.transpose(-2, -1)
    }

    /// Without an axis of size 1.
    ///
    /// # Errors
    /// The axis is outside of the shape or its size is not 1.
    pub fn squeeze(&self, axis: isize) -> Result<Self> {
        let at = self.shape().axis("squeeze", axis)?;
        if self.dims()[at] != 1 {
            return Err(Error::shape("squeeze", self.shape(), format!("size 1 at axis {axis}")));
        }
        let mut strides = [0; MAX_RANK];
        let kept = (0..self.rank()).filter(|&i| i != at);
        for (to, from) in kept.enumerate() {
            strides[to] = self.value.strides()[from];
        }
        let value = self.value.view(0, self.shape().without(at), strides);
        Ok(self.viewed("squeeze", value))
    }

    /// With a new axis of size 1 at place `axis` of the result; negative ones
    /// count from the end of the result.
    ///
    /// # Errors
    /// `axis` is outside of the result, or there are too many axes.
    pub fn unsqueeze(&self, axis: isize) -> Result<Self> {
        let mut dims = self.dims().to_vec();
        dims.push(1);
        let at = Shape::new(&dims)?.axis("unsqueeze", axis)?;
        dims.pop();
        dims.insert(at, 1);
        let mut strides = [0; MAX_RANK];
        let own = self.value.strides();
        let mut kept = own.iter();
        for (to, stride) in strides[..dims.len()].iter_mut().enumerate() {
            if to != at {
                *stride = kept.next().copied().unwrap_or(0);
            }
        }
        let value = self.value.view(0, Shape::new(&dims)?, strides);
        Ok(self.viewed("unsqueeze", value))
    }

    /// Read as if it had the larger `shape`: axes of size 1, and axes missing
    /// in front, repeat. Without a copy.
    ///
    /// # Errors
    /// The shape does not broadcast to the one asked for.
    pub fn broadcast_to(&self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if &shape == self.shape() {
            return Ok(self.clone());
        }
        let value = self.value.broadcast_to("broadcast_to", shape)?;
        let input = *self.shape();
        Ok(Self::from_op(value, &[self], || Broadcast { input }))
    }

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

    /// Several tensors one after another along an axis.
    ///
    /// # Errors
    /// No tensors, an axis outside of the shape, or sizes that differ on
    /// another axis.
    pub fn cat(parts: &[&Self], axis: isize) -> Result<Self> {
        let Some(first) = parts.first() else {
            return Err(Error::argument("cat", "parts", "none", "at least one tensor"));
        };
        let at = first.shape().axis("cat", axis)?;
        let mut total = 0;
        for part in parts {
            let fits = part.rank() == first.rank()
                && (0..first.rank()).all(|i| i == at || part.dims()[i] == first.dims()[i]);
            if !fits {
                return Err(Error::shapes(
                    "cat",
                    first.shape(),
                    part.shape(),
                    format!("equal sizes on all axes but {at}"),
                ));
            }
            total += part.dims()[at];
        }
        let inner: usize = first.dims()[at + 1..].iter().product();
        let values: Vec<Value<E>> = parts.iter().map(|p| p.value.contiguous()).collect();
        let value = Value::build(first.shape().with(at, total), |out| {
            let mut start = 0;
            for value in &values {
                let width = value.shape()[at] * inner;
                if width > 0 {
                    let rows = value.raw()[..value.numel()].chunks_exact(width);
                    for (out, row) in out.chunks_exact_mut(total * inner).zip(rows) {
                        out[start..start + width].copy_from_slice(row);
                    }
                }
                start += width;
            }
        });
        Ok(Self::from_op(value, parts, || Cat {
            axis: at,
            sizes: parts.iter().map(|p| p.dims()[at]).collect(),
        }))
    }

    /// Tensors of one shape along a new axis, at place `axis` of the result.
    ///
    /// # Errors
    /// No tensors, different shapes, or an axis outside of the result.
    pub fn stack(parts: &[&Self], axis: isize) -> Result<Self> {
        let Some(first) = parts.first() else {
            return Err(Error::argument("stack", "parts", "none", "at least one tensor"));
        };
        if let Some(other) = parts.iter().find(|p| p.shape() != first.shape()) {
            return Err(Error::shapes("stack", first.shape(), other.shape(), "equal shapes"));
        }
        let raised = parts.iter().map(|p| p.unsqueeze(axis)).collect::<Result<Vec<_>>>()?;
        Self::cat(&raised.iter().collect::<Vec<_>>(), axis)
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

    /// The whole tensor repeated `times` along each axis, as PyTorch's
    /// `repeat`; `times` may have more entries than the tensor axes.
    ///
    /// # Errors
    /// Fewer entries than axes, or too many.
    pub fn repeat(&self, times: &[usize]) -> Result<Self> {
        if times.len() < self.rank() {
            return Err(Error::argument(
                "repeat",
                "times",
                format!("{times:?}"),
                format!("at least {} entries, one for each axis", self.rank()),
            ));
        }
        let mut dims = vec![1; times.len() - self.rank()];
        dims.extend(self.dims());
        let mut result = self.reshape(Shape::new(&dims)?)?;
        for (axis, &times) in times.iter().enumerate() {
            result = match times {
                1 => result,
                0 => result.narrow(axis as isize, 0, 0)?,
                _ => Self::cat(&vec![&result; times], axis as isize)?,
            };
        }
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;

    fn counting(shape: [usize; 3]) -> Tensor<f64> {
        Tensor::arange(0.0, shape.iter().product::<usize>() as f64, 1.0)
            .unwrap()
            .reshape(shape)
            .unwrap()
    }

    #[test]
    fn views_share_their_storage() {
        let x = counting([2, 3, 4]);
        let start = x.value().as_slice().unwrap().as_ptr();
        for view in [
            x.reshape([6, 4]).unwrap(),
            x.permute(&[2, 0, 1]).unwrap(),
            x.unsqueeze(1).unwrap(),
            x.slice(-1, 0, 4, 2).unwrap(),
            x.broadcast_to([5, 2, 3, 4]).unwrap(),
        ] {
            assert_eq!(view.value().raw().as_ptr(), start);
        }
    }

    #[test]
    fn slices_of_slices_of_transposes_are_right() {
        let x = counting([2, 3, 4]);
        let y = x.permute(&[2, 1, 0]).unwrap().slice(0, 1, 4, 2).unwrap().select(2, 1).unwrap();
        assert_eq!(y.to_vec(), [13.0, 17.0, 21.0, 15.0, 19.0, 23.0]);
        assert_eq!(y.flip(1).unwrap().to_vec(), [21.0, 17.0, 13.0, 23.0, 19.0, 15.0]);
        assert_eq!(y.roll(1, 1).unwrap().to_vec(), [21.0, 13.0, 17.0, 23.0, 15.0, 19.0]);
    }

    #[test]
    fn parts_join_to_the_whole_again() {
        let x = counting([2, 5, 3]);
        let parts = x.chunk(3, 1).unwrap();
        assert_eq!(parts.iter().map(|p| p.dims()[1]).collect::<Vec<_>>(), [2, 2, 1]);
        let again = Tensor::cat(&parts.iter().collect::<Vec<_>>(), 1).unwrap();
        assert_eq!(again.to_vec(), x.to_vec());
        assert_eq!(x.repeat(&[2, 1, 1, 2]).unwrap().dims(), [2, 2, 5, 6]);
        assert!(x.repeat(&[2]).is_err());
        assert!(x.split(&[2, 2], 1).is_err());
    }
}
