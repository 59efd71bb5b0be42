//! Diagonals and triangles.

use crate::{Elem, Error, Op, Result, Shape, Tensor, Value, Vjp};

/// Length and first row and column of a diagonal; positive offsets are above
/// the main one.
fn extent(rows: usize, columns: usize, offset: isize) -> (usize, usize, usize) {
    let (row, column) = if offset < 0 { (offset.unsigned_abs(), 0) } else { (0, offset as usize) };
    (rows.saturating_sub(row).min(columns.saturating_sub(column)), row, column)
}

/// The diagonals of the last two axes.
struct Diagonal {
    offset: isize,
    rows: usize,
    columns: usize,
}

/// Matrices with these diagonals, else 0: the adjoint of [`Diagonal`].
struct Embed(Diagonal);

fn take<E: Elem>(x: &Tensor<E>, offset: isize) -> Result<Tensor<E>> {
    let rank = x.rank();
    let (rows, columns) = (x.dims()[rank - 2], x.dims()[rank - 1]);
    let (length, row, column) = extent(rows, columns, offset);
    let mut dims = x.dims()[..rank - 2].to_vec();
    dims.push(length);
    let from = x.value.contiguous();
    let value = Value::build(Shape::new(&dims)?, |out| {
        for (i, out) in out.iter_mut().enumerate() {
            let (matrix, k) = (i / length, i % length);
            *out = from.raw()[(matrix * rows + row + k) * columns + column + k];
        }
    });
    Ok(Tensor::from_op(value, &[x], || Diagonal { offset, rows, columns }))
}

fn embed<E: Elem>(
    d: &Tensor<E>,
    (rows, columns): (usize, usize),
    offset: isize,
) -> Result<Tensor<E>> {
    let (length, row, column) = extent(rows, columns, offset);
    let mut dims = d.dims()[..d.rank() - 1].to_vec();
    dims.extend([rows, columns]);
    let from = d.value.contiguous();
    let value = Value::build_zeroed(Shape::new(&dims)?, |out| {
        for (i, &x) in from.raw()[..from.numel()].iter().enumerate() {
            let (matrix, k) = (i / length, i % length);
            out[(matrix * rows + row + k) * columns + column + k] = x;
        }
    });
    Ok(Tensor::from_op(value, &[d], || Embed(Diagonal { offset, rows, columns })))
}

impl<E: Elem> Op<E> for Diagonal {
    fn name(&self) -> &'static str {
        "diagonal"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || embed(&g, (self.rows, self.columns), self.offset))
    }
}

impl<E: Elem> Op<E> for Embed {
    fn name(&self) -> &'static str {
        "diag_embed"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        cx.give(0, || take(&g, self.0.offset))
    }
}

impl<E: Elem> Tensor<E> {
    /// The diagonals of the matrices over `axis1` and `axis2`, as a new last
    /// axis. A positive `offset` is above the main diagonal, a negative one
    /// below; beyond the matrix the diagonal is empty.
    ///
    /// ```
    /// # use tl_tensor::Tensor;
    /// # fn main() -> tl_tensor::Result<()> {
    /// let a = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0], [2, 2])?;
    /// assert_eq!(a.diagonal(0, 0, 1)?.to_vec(), [1.0, 4.0]);
    /// assert_eq!(a.diagonal(1, 0, 1)?.to_vec(), [2.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The axes are equal or outside of the shape.
    pub fn diagonal(&self, offset: isize, axis1: isize, axis2: isize) -> Result<Self> {
        let (a, b) = (self.shape().axis("diagonal", axis1)?, self.shape().axis("diagonal", axis2)?);
        if a == b {
            return Err(Error::argument("diagonal", "axes", format!("{a} twice"), "two axes"));
        }
        let rest = (0..self.rank()).filter(|&i| i != a && i != b);
        let order: Vec<isize> = rest.chain([a, b]).map(|i| i as isize).collect();
        take(&self.permute(&order)?, offset)
    }

    /// Square matrices with these diagonals and 0 elsewhere: `[.., n]` gives
    /// `[.., n + |offset|, n + |offset|]`.
    ///
    /// # Errors
    /// A scalar; a result of too many dimensions.
    pub fn diag_embed(&self, offset: isize) -> Result<Self> {
        if self.rank() == 0 {
            return Err(Error::shape("diag_embed", self.shape(), "at least one dimension"));
        }
        let n = self.size(-1)? + offset.unsigned_abs();
        embed(self, (n, n), offset)
    }

    /// The sums of the diagonals of matrices `[.., m, n]`.
    ///
    /// # Errors
    /// Fewer than two dimensions.
    pub fn trace(&self) -> Result<Self> {
        matrices("trace", self)?;
        self.diagonal(0, -2, -1)?.sum(-1, false)
    }

    /// The matrices with 0 above diagonal number `offset`.
    ///
    /// # Errors
    /// Fewer than two dimensions.
    pub fn tril(&self, offset: isize) -> Result<Self> {
        self.triangle("tril", |row, column| column <= row + offset)
    }

    /// The matrices with 0 below diagonal number `offset`.
    ///
    /// # Errors
    /// Fewer than two dimensions.
    pub fn triu(&self, offset: isize) -> Result<Self> {
        self.triangle("triu", |row, column| column >= row + offset)
    }

    fn triangle(&self, op: &'static str, keep: impl Fn(isize, isize) -> bool) -> Result<Self> {
        let (rows, columns) = matrices(op, self)?;
        let value = Value::build([rows, columns].into(), |out| {
            for (i, out) in out.iter_mut().enumerate() {
                let kept = keep((i / columns) as isize, (i % columns) as isize);
                *out = if kept { E::ONE } else { E::ZERO };
            }
        });
        Self::where_cond(&Self::constant(value), self, &Self::scalar(E::ZERO))
    }
}

fn matrices<E: Elem>(op: &'static str, x: &Tensor<E>) -> Result<(usize, usize)> {
    match *x.dims() {
        [.., rows, columns] => Ok((rows, columns)),
        _ => Err(Error::shape(op, x.shape(), "matrices [.., m, n]")),
    }
}
