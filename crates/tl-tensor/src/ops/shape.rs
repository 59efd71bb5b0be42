//! The same numbers under another shape.

use crate::{Elem, Error, MAX_RANK, Op, Result, Shape, Tensor, Value, Vjp};

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
}

#[cfg(test)]
pub(super) mod tests {
    use crate::Tensor;

    pub(in crate::ops) fn counting(shape: [usize; 3]) -> Tensor<f64> {
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
}
