//! Tensors one after another.

use crate::{Elem, Error, Op, Result, Shape, Tensor, Value, Vjp};

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
    use crate::{Tensor, ops::shape::tests::counting};

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
