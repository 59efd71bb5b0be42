//! Eigenvalues and singular values.

use crate::{Error, Result};
use faer::{Mat, Side};
use tl_tensor::{Elem, Tensor};

fn matrix<E: Elem>(what: &'static str, x: &Tensor<E>) -> Result<Mat<f64>> {
    let &[rows, columns] = x.dims() else {
        return Err(Error::argument(what, "x", format!("{:?}", x.dims()), "a matrix"));
    };
    if !x.is_finite() {
        return Err(Error::argument(what, "x", "NaN or infinite somewhere", "finite numbers"));
    }
    let data = x.to_vec();
    Ok(Mat::from_fn(rows, columns, |i, j| data[i * columns + j].to_f64()))
}

/// A tensor `[rows, columns]` with `at(i, j)`.
fn tensor<E: Elem>(
    rows: usize,
    columns: usize,
    at: impl Fn(usize, usize) -> f64,
) -> Result<Tensor<E>> {
    let data = (0..rows * columns).map(|k| E::from_f64(at(k / columns, k % columns))).collect();
    Ok(Tensor::from_vec(data, [rows, columns])?)
}

/// The eigenvalues of a symmetric matrix `[n, n]`, ascending, `[n]`, and its
/// orthonormal eigenvectors as columns, `[n, n]`: `A = V diag(w) Vᵀ`. Only the
/// lower half is read. Computed in double precision; no derivative.
///
/// ```
/// use tl_nn::{Tensor, shallow::eigh};
/// # fn main() -> tl_nn::Result<()> {
/// let a = Tensor::<f64>::from_vec(vec![2.0, 1.0, 1.0, 2.0], [2, 2])?;
/// let (values, _vectors) = eigh(&a)?;
/// assert!((values.to_vec()[0] - 1.0).abs() < 1e-12 && (values.to_vec()[1] - 3.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Not a square matrix; numbers that are not finite; no convergence.
pub fn eigh<E: Elem>(a: &Tensor<E>) -> Result<(Tensor<E>, Tensor<E>)> {
    let m = matrix("eigh", a)?;
    let n = m.nrows();
    if m.ncols() != n {
        return Err(Error::argument("eigh", "a", format!("{:?}", a.dims()), "a square matrix"));
    }
    let eigen = m
        .self_adjoint_eigen(Side::Lower)
        .map_err(|e| Error::argument("eigh", "a", format!("{e:?}"), "a matrix that converges"))?;
    let values = (0..n).map(|i| E::from_f64(eigen.S()[i])).collect();
    Ok((Tensor::from_vec(values, [n])?, tensor(n, n, |i, j| eigen.U()[(i, j)])?))
}

/// The thin singular value decomposition `A = U diag(s) Vᵀ` of `[m, n]` with
/// `k = min(m, n)`. Computed in double precision; no derivative.
#[derive(Clone, Debug)]
pub struct Svd<E: Elem = f32> {
    /// Left singular vectors as columns, `[m, k]`.
    pub u: Tensor<E>,
    /// Singular values, descending, `[k]`.
    pub s: Tensor<E>,
    /// Right singular vectors as rows, `[k, n]`.
    pub vt: Tensor<E>,
}

impl<E: Elem> Svd<E> {
    /// Of a matrix.
    ///
    /// # Errors
    /// Not a matrix; numbers that are not finite; no convergence.
    pub fn of(a: &Tensor<E>) -> Result<Self> {
        let m = matrix("svd", a)?;
        let (rows, columns) = (m.nrows(), m.ncols());
        let k = rows.min(columns);
        let svd = m.thin_svd().map_err(|e| {
            Error::argument("svd", "a", format!("{e:?}"), "a matrix that converges")
        })?;
        let values = (0..k).map(|i| E::from_f64(svd.S()[i])).collect();
        Ok(Self {
            u: tensor(rows, k, |i, j| svd.U()[(i, j)])?,
            s: Tensor::from_vec(values, [k])?,
            vt: tensor(k, columns, |i, j| svd.V()[(j, i)])?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use rand::SeedableRng;

    fn random(rows: usize, columns: usize) -> Tensor<f64> {
        Tensor::randn([rows, columns], &mut rand_chacha::ChaCha8Rng::seed_from_u64(3))
    }

    fn assert_same(a: &Tensor<f64>, b: &Tensor<f64>) {
        assert_eq!(a.dims(), b.dims());
        for (x, y) in a.to_vec().into_iter().zip(b.to_vec()) {
            assert_abs_diff_eq!(x, y, epsilon = 1e-10);
        }
    }

    #[test]
    fn the_parts_of_eigh_make_the_matrix() -> Result<()> {
        let x = random(7, 7);
        let a = x.add(&x.t()?)?;
        let (w, v) = eigh(&a)?;
        assert!(w.to_vec().is_sorted());
        assert_same(&v.mul(&w)?.matmul(&v.t()?)?, &a);
        assert_same(&v.t()?.matmul(&v)?, &Tensor::eye(7));
        Ok(())
    }

    #[test]
    fn the_parts_of_the_svd_make_the_matrix() -> Result<()> {
        for (rows, columns) in [(5, 3), (3, 5), (4, 4)] {
            let a = random(rows, columns);
            let svd = Svd::of(&a)?;
            assert!(svd.s.to_vec().is_sorted_by(|a, b| a >= b));
            assert_same(&svd.u.mul(&svd.s)?.matmul(&svd.vt)?, &a);
        }
        Ok(())
    }

    #[test]
    fn bad_matrices_are_errors() {
        assert!(eigh(&random(2, 3)).unwrap_err().to_string().contains("square"));
        let nan = Tensor::<f64>::full([2, 2], f64::NAN);
        assert!(Svd::of(&nan).unwrap_err().to_string().contains("finite"));
    }
}
