//! Systems with a triangular matrix.

use super::{each_matrix, system};
use crate::{Elem, Error, Op, Result, Tensor, Value, Vjp};

/// Which triangle of a matrix is meant, and how it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Triangle {
    upper: bool,
    transpose: bool,
    unit: bool,
}

impl Triangle {
    /// The lower triangle with its diagonal.
    pub fn lower() -> Self {
        Self { upper: false, transpose: false, unit: false }
    }

    /// The upper triangle with its diagonal.
    pub fn upper() -> Self {
        Self { upper: true, ..Self::lower() }
    }

    /// Uses the transpose of the triangle.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { transpose: !self.transpose, ..self }
    }

    /// Takes the diagonal to be 1, whatever is stored there.
    #[must_use]
    pub fn unit_diagonal(self) -> Self {
        Self { unit: true, ..self }
    }

    /// The part of a gradient that belongs to the triangle.
    fn part<E: Elem>(self, g: &Tensor<E>) -> Result<Tensor<E>> {
        let skip = isize::from(self.unit);
        if self.upper { g.triu(skip) } else { g.tril(-skip) }
    }
}

struct TriangularSolve<E: Elem> {
    a: Value<E>,
    x: Value<E>,
    triangle: Triangle,
}

impl<E: Elem> Op<E> for TriangularSolve<E> {
    fn name(&self) -> &'static str {
        "triangular_solve"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> Result<()> {
        // X = T⁻¹ B:  B̄ = T⁻ᵀ X̄,  T̄ = -B̄ Xᵀ.
        let a = cx.input(0, &self.a);
        let x = cx.output(&self.x);
        let gb = a.triangular_solve(&g, self.triangle.transposed())?;
        cx.give(1, || Ok(gb.clone()))?;
        cx.give(0, || {
            let (left, right) = if self.triangle.transpose { (&x, &gb) } else { (&gb, &x) };
            self.triangle.part(&left.matmul(&right.transpose(-2, -1)?)?.neg())
        })
    }
}

/// Solves one system in place: `x` holds the right-hand sides, `n` rows of `k`.
pub(super) fn substitute<E: Elem>(
    a: &[E],
    x: &mut [E],
    n: usize,
    k: usize,
    triangle: Triangle,
) -> Option<usize> {
    let at = |i: usize, j: usize| if triangle.transpose { a[j * n + i] } else { a[i * n + j] };
    // A transposed upper triangle is a lower one.
    let forward = triangle.upper == triangle.transpose;
    for step in 0..n {
        let i = if forward { step } else { n - 1 - step };
        let known = if forward { 0..i } else { i + 1..n };
        for j in known {
            let factor = at(i, j);
            for c in 0..k {
                let term = factor * x[j * k + c];
                x[i * k + c] = x[i * k + c] - term;
            }
        }
        if !triangle.unit {
            let pivot = at(i, i);
            if pivot == E::ZERO {
                return Some(i);
            }
            x[i * k..(i + 1) * k].iter_mut().for_each(|x| *x = *x / pivot);
        }
    }
    None
}

impl<E: Elem> Tensor<E> {
    /// `X` with `T X = B`, where `T` is a triangle of these matrices
    /// `[.., n, n]` and `B` is `[.., n, k]`. What lies outside of the triangle
    /// is not read. Batch axes broadcast.
    ///
    /// ```
    /// # use tl_tensor::{Tensor, Triangle};
    /// # fn main() -> tl_tensor::Result<()> {
    /// let a = Tensor::from_slice(&[2.0_f64, 0.0, 1.0, 4.0], [2, 2])?;
    /// let b = Tensor::from_slice(&[2.0, 9.0], [2, 1])?;
    /// assert_eq!(a.triangular_solve(&b, Triangle::lower())?.to_vec(), [1.0, 2.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The shapes do not fit; a 0 on the diagonal.
    pub fn triangular_solve(&self, b: &Self, triangle: Triangle) -> Result<Self> {
        let (a, b) = system("triangular_solve", self, b)?;
        let (n, k) = (a.size(-1)?, b.size(-1)?);
        let matrices = a.value.contiguous();
        let x = each_matrix(&b.value, |i, x| {
            match substitute(&matrices.raw()[i * n * n..(i + 1) * n * n], x, n, k, triangle) {
                None => Ok(()),
                Some(row) => Err(Error::Singular {
                    op: "triangular_solve",
                    property: "regular: its diagonal has a 0",
                    row,
                    hint: "add a small number to the diagonal",
                }),
            }
        })?;
        Ok(Self::from_op(x.clone(), &[&a, &b], || TriangularSolve {
            a: a.value.clone(),
            x,
            triangle,
        }))
    }
}
