//! Whole entries of an axis: selection, its adjoint, embedding.

use super::Blocks;
use crate::{Elem, Error, Indices, Op, Result, Shape, Tensor, Value, Vjp};

struct IndexSelect {
    axis: usize,
    size: usize,
    indices: Indices,
}

impl<E: Elem> Op<E> for IndexSelect {
    fn name(&self) -> &'static str {
        "index_select"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || Ok(g.index_spread(self.axis, self.size, &self.indices)))
    }
}

/// The adjoint of a selection: entries are added at their indices.
struct IndexSpread {
    axis: usize,
    indices: Indices,
}

impl<E: Elem> Op<E> for IndexSpread {
    fn name(&self) -> &'static str {
        "index_add"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || g.index_select(self.axis as isize, &self.indices))
    }
}

impl<E: Elem> Tensor<E> {
    /// The entries of an axis at `indices` (one dimension), in their order;
    /// an index may come several times.
    ///
    /// # Errors
    /// The axis is outside of the shape, `indices` does not have one
    /// dimension, or an index is outside of the axis.
    pub fn index_select(&self, axis: isize, indices: &Indices) -> Result<Self> {
        let op = "index_select";
        let axis = self.shape().axis(op, axis)?;
        if indices.shape().rank() != 1 {
            return Err(Error::shape(op, indices.shape(), "indices of one dimension"));
        }
        let Blocks { size, inner, .. } = Blocks::new(self.shape(), axis);
        indices.check(op, size)?;
        let x = self.value.contiguous();
        let count = indices.len();
        let value = Value::build(self.shape().with(axis, count), |out| {
            let data = x.raw()[..x.numel()].chunks_exact((size * inner).max(1));
            for (out, data) in out.chunks_exact_mut((count * inner).max(1)).zip(data) {
                for (out, &i) in out.chunks_exact_mut(inner).zip(indices.as_slice()) {
                    out.copy_from_slice(&data[i * inner..][..inner]);
                }
            }
        });
        Ok(Self::from_op(value, &[self], || IndexSelect { axis, size, indices: indices.clone() }))
    }

    fn index_spread(&self, axis: usize, size: usize, indices: &Indices) -> Self {
        let Blocks { size: count, inner, .. } = Blocks::new(self.shape(), axis);
        let x = self.value.contiguous();
        let value = Value::build_zeroed(self.shape().with(axis, size), |out| {
            let data = x.raw()[..x.numel()].chunks_exact((count * inner).max(1));
            for (out, data) in out.chunks_exact_mut((size * inner).max(1)).zip(data) {
                for (data, &i) in data.chunks_exact(inner).zip(indices.as_slice()) {
                    for (o, &x) in out[i * inner..][..inner].iter_mut().zip(data) {
                        *o += x;
                    }
                }
            }
        });
        Self::from_op(value, &[self], || IndexSpread { axis, indices: indices.clone() })
    }

    /// This tensor with the entries of `source` added to an axis at `indices`:
    /// entry i of `source` to entry `indices[i]`. Where an index comes several
    /// times all are added, in order.
    ///
    /// # Errors
    /// Shapes that differ on another axis, not as many entries as indices, or
    /// an index outside of the axis.
    pub fn index_add(&self, axis: isize, indices: &Indices, source: &Self) -> Result<Self> {
        let op = "index_add";
        let at = self.shape().axis(op, axis)?;
        let size = self.dims()[at];
        if source.shape() != &self.shape().with(at, indices.len()) {
            return Err(Error::shapes(
                op,
                self.shape(),
                source.shape(),
                format!("a source with {} entries on axis {at}, as the indices", indices.len()),
            ));
        }
        indices.check(op, size)?;
        self.add(&source.index_spread(at, size, indices))
    }

    /// The rows of this table `[n, d]` at `indices` of any shape: the result
    /// is `indices.shape() ++ [d]`.
    ///
    /// # Errors
    /// The table does not have two dimensions, an index is not below `n`, or
    /// the result would have too many dimensions.
    pub fn embedding(&self, indices: &Indices) -> Result<Self> {
        if self.rank() != 2 {
            return Err(Error::shape("embedding", self.shape(), "a table [n, d]"));
        }
        indices.check("embedding", self.dims()[0])?;
        let mut dims = indices.dims().to_vec();
        dims.push(self.dims()[1]);
        let shape = Shape::new(&dims)?;
        self.index_select(0, &indices.reshape(indices.len())?)?.reshape(shape)
    }

    /// One row per index, 1 at the index and 0 elsewhere: of shape
    /// `indices.shape() ++ [classes]`.
    ///
    /// # Errors
    /// An index is not below `classes`, or too many dimensions.
    pub fn one_hot(indices: &Indices, classes: usize) -> Result<Self> {
        indices.check("one_hot", classes)?;
        let mut dims = indices.dims().to_vec();
        dims.push(classes);
        let value = Value::build_zeroed(Shape::new(&dims)?, |out| {
            for (row, &i) in out.chunks_exact_mut(classes.max(1)).zip(indices.as_slice()) {
                row[i] = E::ONE;
            }
        });
        Ok(Self::constant(value))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Error, GradCheck, Indices, Tensor, gradcheck, gradgradcheck};

    #[test]
    fn repeated_rows_add_their_gradients() {
        let table = Tensor::<f64>::ones([3, 2]).requires_grad();
        let rows = table.embedding(&Indices::from_vec(vec![2, 0, 2, 2], [2, 2]).unwrap()).unwrap();
        assert_eq!(rows.dims(), [2, 2, 2]);
        let g = rows.sum_all().backward().unwrap();
        assert_eq!(g.get(&table).unwrap().to_vec(), [1.0, 1.0, 0.0, 0.0, 3.0, 3.0]);
        let wrong = table.embedding(&Indices::from([3]));
        assert_eq!(wrong.unwrap_err(), Error::Index { op: "embedding", index: 3, size: 3 });
    }

    #[test]
    fn select_and_add_are_checked_on_any_axis() {
        let x = Tensor::arange(0.0, 24.0, 1.0).unwrap().reshape([2, 3, 4]).unwrap();
        let indices = Indices::from([1, 1, 0]);
        for axis in [0, 1, 2] {
            let select = |t: &[Tensor<f64>]| t[0].square().index_select(axis, &indices);
            gradcheck(select, &[x.sin()], GradCheck::default()).unwrap();
            gradgradcheck(select, &[x.sin()], GradCheck::default()).unwrap();
        }
        let source = Tensor::<f64>::ones([2, 3, 3]);
        let y = x.index_add(2, &indices, &source).unwrap();
        assert_eq!(y.to_vec()[..4], [1.0, 3.0, 2.0, 3.0]);
    }
}
