//! Equations with a positive definite matrix.

use crate::Result;
use tl_nn::Tensor;

/// Up to this size a matrix is factored at once.
const LEAF: usize = 64;

/// `a⁻¹ b` for a symmetric positive definite `a` `[n, n]` and `b` `[n, m]`, by
/// halves (Schur complements), so that nearly all of the work is in products:
/// with `W = a₁₁⁻¹ a₁₂` and `Y = a₁₁⁻¹ b₁`,
/// `x₂ = (a₂₂ - a₂₁ W)⁻¹ (b₂ - a₂₁ Y)` and `x₁ = Y - W x₂`.
pub(super) fn solve(a: &Tensor<f64>, b: &Tensor<f64>) -> Result<Tensor<f64>> {
    let (n, m) = (a.size(0)?, b.size(1)?);
    if n <= LEAF {
        let factor = a.contiguous().cholesky()?;
        // Many right sides: the inverse first, then a product.
        return Ok(if m > n {
            factor.cholesky_solve(&Tensor::eye(n))?.matmul(b)?
        } else {
            factor.cholesky_solve(&b.contiguous())?
        });
    }
    let half = n / 2;
    let rest = n - half;
    let lower = a.narrow(0, half, rest)?;
    let (a21, a22) = (lower.narrow(1, 0, half)?, lower.narrow(1, half, rest)?);
    let a11 = a.narrow(0, 0, half)?.narrow(1, 0, half)?;
    let (b1, b2) = (b.narrow(0, 0, half)?, b.narrow(0, half, rest)?);
    let both = solve(&a11, &Tensor::cat(&[&a21.t()?, &b1], 1)?)?;
    let (w, y) = (both.narrow(1, 0, rest)?, both.narrow(1, rest, m)?);
    let x2 = solve(&a22.sub(&a21.matmul(&w)?)?, &b2.sub(&a21.matmul(&y)?)?)?;
    let x1 = y.sub(&w.matmul(&x2)?)?;
    Ok(Tensor::cat(&[&x1, &x2], 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn halves_solve_the_whole() {
        let rng = &mut rand_chacha::ChaCha8Rng::seed_from_u64(0);
        for (n, m) in [(1, 2), (64, 70), (65, 3), (200, 9)] {
            let root = Tensor::<f64>::randn([n, n], rng);
            let a = root.matmul(&root.t().unwrap()).unwrap().add(&Tensor::eye(n)).unwrap();
            let b = Tensor::<f64>::randn([n, m], rng);
            let again = a.matmul(&solve(&a, &b).unwrap()).unwrap();
            for (got, want) in again.to_vec().iter().zip(b.to_vec()) {
                assert!((got - want).abs() < 1e-9, "{n}: {got} for {want}");
            }
        }
        let error = solve(&Tensor::eye(80).neg(), &Tensor::eye(80)).unwrap_err();
        assert!(error.to_string().contains("positive definite"));
    }
}
