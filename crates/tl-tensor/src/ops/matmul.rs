//! Matrix products.

use crate::{
    Elem, Error, MAX_RANK, Op, Result, Shape, Tensor, Value, Vjp,
    kernel::gemm::{Matrix, gemm},
    kernel::parallel,
};

struct Matmul<E: Elem> {
    a: Value<E>,
    b: Value<E>,
}

impl<E: Elem> Op<E> for Matmul<E> {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        let (a, b) = (cx.input(0, &self.a), cx.input(1, &self.b));
        cx.give(0, || g.matmul(&b.t()?)?.sum_to(a.shape()))?;
        cx.give(1, || a.t()?.matmul(&g)?.sum_to(b.shape()))
    }
}

/// The matrix in the last two axes of a value, and the sizes.
fn matrix<E: Elem>(x: &Value<E>) -> (Matrix<'_, E>, usize, usize) {
    let rank = x.shape().rank();
    let (rows, columns) = (x.shape()[rank - 2], x.shape()[rank - 1]);
    let steps = x.strides();
    (
        Matrix { data: x.raw(), row_step: steps[rank - 2], column_step: steps[rank - 1] },
        rows,
        columns,
    )
}

/// A value whose rows or columns lie without gaps, as the kernel wants it: a
/// transposed view does, a slice with steps or a broadcast one is copied.
fn dense<E: Elem>(x: &Value<E>) -> Value<E> {
    let rank = x.shape().rank();
    let (rows, columns) = (x.shape()[rank - 2], x.shape()[rank - 1]);
    let (r, c) = (x.strides()[rank - 2], x.strides()[rank - 1]);
    let fits = (c == 1 && (r >= columns || rows == 1)) || (r == 1 && (c >= rows || columns == 1));
    if fits { x.clone() } else { x.contiguous() }
}

/// The product of batches of matrices, of at least two axes each.
fn product<E: Elem>(a: &Value<E>, b: &Value<E>) -> Result<Value<E>> {
    let (sa, sb) = (*a.shape(), *b.shape());
    let (ra, rb) = (sa.rank(), sb.rank());
    let fit = || Error::shapes("matmul", &sa, &sb, "[.., m, k] and [.., k, n]");
    if sa[ra - 1] != sb[rb - 2] {
        return Err(fit());
    }
    let lead = |s: &Shape| Shape::new(&s[..s.rank() - 2]);
    let batch = Shape::broadcast("matmul", &lead(&sa)?, &lead(&sb)?).map_err(|_| fit())?;
    let (m, k, n) = (sa[ra - 2], sa[ra - 1], sb[rb - 1]);
    let mut dims = batch.to_vec();
    dims.extend([m, n]);
    let shape = Shape::new(&dims)?;
    let (a, b) = (dense(a), dense(b));
    let count = batch.numel();
    Ok(Value::build(shape, |out| {
        if count == 1 {
            gemm((m, k, n), matrix(&a).0, matrix(&b).0, out, false, true);
            return;
        }
        let step = batch_steps(&batch, &a);
        let (steps_a, steps_b) = (step, batch_steps(&batch, &b));
        let offset = |mut i: usize, steps: &[usize; MAX_RANK]| {
            let mut at = 0;
            for axis in (0..batch.rank()).rev() {
                at += (i % batch[axis]) * steps[axis];
                i /= batch[axis];
            }
            at
        };
        // Large products use all threads one after another, small ones run
        // side by side.
        let large = m * k * n >= 1 << 21;
        let work = if large { 0 } else { count * m * n * (k / 8 + 1) };
        parallel::chunks(out, m * n, work, |i, out| {
            let (mut left, mut right) = (matrix(&a).0, matrix(&b).0);
            left.data = &left.data[offset(i, &steps_a)..];
            right.data = &right.data[offset(i, &steps_b)..];
            gemm((m, k, n), left, right, out, false, large);
        });
    }))
}

/// Steps over the batch axes of a value, 0 where it is broadcast.
fn batch_steps<E: Elem>(batch: &Shape, x: &Value<E>) -> [usize; MAX_RANK] {
    let mut steps = [0; MAX_RANK];
    let own = x.shape().rank() - 2;
    let lead = batch.rank() - own;
    for axis in 0..own {
        if x.shape()[axis] != 1 {
            steps[lead + axis] = x.strides()[axis];
        }
    }
    steps
}

impl<E: Elem> Tensor<E> {
    /// The matrix product over the last two axes: `[.., m, k] · [.., k, n]` is
    /// `[.., m, n]`. Batch axes broadcast. As in PyTorch a tensor of one
    /// dimension is a row on the left, a column on the right, and its axis is
    /// dropped from the result. Transposed operands are not copied.
    ///
    /// ```
    /// # use tl_tensor::Tensor;
    /// # fn main() -> tl_tensor::Result<()> {
    /// let a = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0], [2, 2])?;
    /// let b = Tensor::from_slice(&[1.0, 10.0], 2)?;
    /// assert_eq!(a.matmul(&b)?.to_vec(), [21.0, 43.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The inner sizes differ, the batch axes do not broadcast, or an operand
    /// is a scalar.
    pub fn matmul(&self, other: &Self) -> Result<Self> {
        match (self.rank(), other.rank()) {
            (0, _) | (_, 0) => Err(Error::shapes(
                "matmul",
                self.shape(),
                other.shape(),
                "operands of at least one dimension",
            )),
            (1, 1) => self.unsqueeze(0)?.matmul(&other.unsqueeze(1)?)?.reshape(()),
            (1, _) => self.unsqueeze(0)?.matmul(other)?.squeeze(-2),
            (_, 1) => self.matmul(&other.unsqueeze(1)?)?.squeeze(-1),
            // One matrix for the whole batch: one tall product.
            (rank, 2) if rank > 2 && self.is_contiguous() => {
                let (rows, width) = (self.numel() / self.size(-1)?.max(1), self.size(-1)?);
                let shape = self.shape().with(rank - 1, other.dims()[1]);
                if width != other.dims()[0] || width == 0 {
                    return self.product_with(other);
                }
                self.reshape([rows, width])?.product_with(other)?.reshape(shape)
            }
            _ => self.product_with(other),
        }
    }

    fn product_with(&self, other: &Self) -> Result<Self> {
        let value = product(&self.value, &other.value)?;
        Ok(Self::from_op(value, &[self, other], || Matmul {
            a: self.value.clone(),
            b: other.value.clone(),
        }))
    }

    /// The outer product of two vectors: `[m]` and `[n]` give `[m, n]`.
    ///
    /// # Errors
    /// An operand does not have one dimension.
    pub fn outer(&self, other: &Self) -> Result<Self> {
        if self.rank() != 1 || other.rank() != 1 {
            return Err(Error::shapes("outer", self.shape(), other.shape(), "two vectors"));
        }
        self.unsqueeze(1)?.mul(other)
    }
}

#[cfg(test)]
mod tests {
    use crate::Tensor;

    #[test]
    fn batches_broadcast() {
        let a = Tensor::<f64>::ones([2, 1, 3, 4]);
        let b = Tensor::<f64>::ones([5, 4, 2]);
        let c = a.matmul(&b).unwrap();
        assert_eq!(c.dims(), [2, 5, 3, 2]);
        assert!(c.to_vec().iter().all(|&x| x == 4.0));
    }

    #[test]
    fn empty_products_are_zero() {
        let a = Tensor::<f32>::ones([2, 0]);
        let b = Tensor::<f32>::ones([0, 3]);
        assert_eq!(a.matmul(&b).unwrap().to_vec(), [0.0; 6]);
        assert_eq!(Tensor::<f32>::ones([0, 2]).matmul(&a).unwrap().dims(), [0, 0]);
        assert_eq!(
            Tensor::<f32>::ones([3, 0, 2]).matmul(&Tensor::ones([2, 4])).unwrap().dims(),
            [3, 0, 4]
        );
        assert!(a.matmul(&a).is_err());
    }
}
