//! Single elements along an axis: gathering and scattering.

use super::Blocks;
use crate::{Elem, Error, Indices, Op, Result, Shape, Tensor, Value, Vjp};

struct Gather {
    axis: usize,
    size: usize,
    indices: Indices,
}

impl<E: Elem> Op<E> for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || Ok(g.scatter(self.axis, self.size, &self.indices)))
    }
}

/// The adjoint of gathering.
struct Scatter {
    axis: usize,
    indices: Indices,
}

impl<E: Elem> Op<E> for Scatter {
    fn name(&self) -> &'static str {
        "scatter_add"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || g.gather(self.axis as isize, &self.indices))
    }
}

/// Calls `f(position among the indices, position in the full array)`.
fn pairs(full: Blocks, count: usize, indices: &Indices, mut f: impl FnMut(usize, usize)) {
    let indices = indices.as_slice();
    for outer in 0..full.outer {
        for i in 0..count {
            let from = (outer * count + i) * full.inner;
            for inner in 0..full.inner {
                let at = (outer * full.size + indices[from + inner]) * full.inner + inner;
                f(from + inner, at);
            }
        }
    }
}

fn check(op: &'static str, shape: &Shape, axis: usize, indices: &Indices) -> Result<()> {
    let own = indices.shape();
    let fits =
        own.rank() == shape.rank() && (0..shape.rank()).all(|a| a == axis || own[a] == shape[a]);
    if !fits {
        return Err(Error::shapes(
            op,
            shape,
            own,
            format!("indices of the same sizes on all axes but {axis}"),
        ));
    }
    indices.check(op, shape[axis])
}

impl<E: Elem> Tensor<E> {
    /// For each index the element at that place of the axis:
    /// `y[i][j] = x[indices[i][j]][j]` for axis 0 of two. The indices have the
    /// tensor's sizes on all other axes.
    ///
    /// # Errors
    /// Sizes that differ on another axis, or an index outside of the axis.
    pub fn gather(&self, axis: isize, indices: &Indices) -> Result<Self> {
        let axis = self.shape().axis("gather", axis)?;
        check("gather", self.shape(), axis, indices)?;
        let full = Blocks::new(self.shape(), axis);
        let x = self.value.contiguous();
        let data = x.raw();
        let value = Value::build(*indices.shape(), |out| {
            pairs(full, indices.dims()[axis], indices, |i, at| out[i] = data[at]);
        });
        let indices = indices.clone();
        Ok(Self::from_op(value, &[self], || Gather { axis, size: full.size, indices }))
    }

    fn scatter(&self, axis: usize, size: usize, indices: &Indices) -> Self {
        let shape = self.shape().with(axis, size);
        let x = self.value.contiguous();
        let data = x.raw();
        let value = Value::build_zeroed(shape, |out| {
            let full = Blocks::new(&shape, axis);
            pairs(full, self.dims()[axis], indices, |i, at| out[at] += data[i]);
        });
        Self::from_op(value, &[self], || Scatter { axis, indices: indices.clone() })
    }

    /// This tensor with each element of `source` added at its index of the
    /// axis: `y[indices[i][j]][j] += source[i][j]` for axis 0 of two. Where an
    /// index comes several times all are added, in order.
    ///
    /// # Errors
    /// `source` does not have the shape of `indices`, sizes that differ on
    /// another axis, or an index outside of the axis.
    pub fn scatter_add(&self, axis: isize, indices: &Indices, source: &Self) -> Result<Self> {
        let axis = self.shape().axis("scatter_add", axis)?;
        check("scatter_add", self.shape(), axis, indices)?;
        if source.shape() != indices.shape() {
            return Err(Error::shapes(
                "scatter_add",
                source.shape(),
                indices.shape(),
                "a source of the shape of the indices",
            ));
        }
        self.add(&source.scatter(axis, self.dims()[axis], indices))
    }
}

#[cfg(test)]
mod tests {
    use crate::{GradCheck, Indices, Tensor, gradcheck, gradgradcheck};

    #[test]
    fn gather_and_scatter_are_checked() {
        let x = Tensor::arange(0.0, 6.0, 1.0).unwrap().reshape([2, 3]).unwrap().cos();
        let i = Indices::from_vec(vec![2, 0, 0, 1, 1, 1, 0, 2], [2, 4]).unwrap();
        let gather = |t: &[Tensor<f64>]| t[0].square().gather(1, &i);
        gradcheck(gather, &[x.clone()], GradCheck::default()).unwrap();
        gradgradcheck(gather, &[x.clone()], GradCheck::default()).unwrap();
        let source = Tensor::linspace(-1.0, 1.0, 8).reshape([2, 4]).unwrap();
        let scatter = |t: &[Tensor<f64>]| t[0].scatter_add(1, &i, &t[1].square());
        gradcheck(scatter, &[x.clone(), source.clone()], GradCheck::default()).unwrap();
        gradgradcheck(scatter, &[x.clone(), source], GradCheck::default()).unwrap();
        assert!(x.gather(0, &i).is_err());
    }
}
