//! A ridge regression as differentiable head.

use super::Head;
use crate::Result;
use tl_nn::{Indices, Param, Tensor, module};
use tl_tensor::Elem;

/// Ridge regression in closed form (Bertinetto et al. 2019, eq. 6):
/// `W = Xᵀ (X Xᵀ + λ I)⁻¹ Y` for support features `X` `[n, d]` and targets `Y`
/// `[n, ways]`, then `Q W` for queries `Q` `[q, d]`. The system has the size of
/// the support set, not of the features. Differentiable in everything; `lambda`
/// is a single number.
///
/// # Errors
/// Shapes that do not fit; a `λ` so small that the matrix is singular.
pub fn ridge_logits<E: Elem>(
    support: &Tensor<E>,
    targets: &Tensor<E>,
    lambda: &Tensor<E>,
    queries: &Tensor<E>,
) -> Result<Tensor<E>> {
    let n = support.size(0)?;
    let ridge = Tensor::<E>::eye(n).mul(lambda)?;
    let gram = support.matmul(&support.t()?)?.add(&ridge)?;
    let dual = gram.cholesky()?.cholesky_solve(targets)?;
    Ok(queries.matmul(&support.t()?)?.matmul(&dual)?)
}

/// R2D2 (Bertinetto et al. 2019): [`ridge_logits`] on one-hot labels, with a
/// learned `λ = exp(log_lambda)` and a learned scale and shift of the output.
/// Begins at `λ = 1`, scale 1, shift 0.
#[derive(Clone, Debug)]
pub struct RidgeHead {
    /// The logarithm of `λ`.
    pub log_lambda: Param,
    /// What the output is multiplied by.
    pub scale: Param,
    /// What is added to it.
    pub shift: Param,
}
module!(RidgeHead { log_lambda, scale, shift });

impl Default for RidgeHead {
    fn default() -> Self {
        Self {
            log_lambda: Param::new(Tensor::scalar(0.0)),
            scale: Param::new(Tensor::scalar(1.0)),
            shift: Param::new(Tensor::scalar(0.0)),
        }
    }
}

impl Head for RidgeHead {
    fn logits(
        &self,
        support: &Tensor,
        labels: &Indices,
        ways: usize,
        queries: &Tensor,
    ) -> Result<Tensor> {
        let lambda = self.log_lambda.tensor().exp();
        let y = ridge_logits(support, &Tensor::one_hot(labels, ways)?, &lambda, queries)?;
        Ok(y.mul(self.scale.tensor())?.add(self.shift.tensor())?)
    }
}
