//! Optimal transport with entropy regularisation.

use crate::{Error, Result};
use tl_tensor::{Elem, Tensor};

/// The transport plan `[n, m]` between uniform weights for a cost `[n, m]`
/// (Cuturi 2013), by Sinkhorn's iteration on logarithms: rows sum to `1/n`,
/// columns to `1/m`. `regularisation` is in units of the cost. A constant.
///
/// # Errors
/// A cost that is no finite matrix; a regularisation not above 0.
pub fn sinkhorn<E: Elem>(
    cost: &Tensor<E>,
    regularisation: f64,
    iterations: usize,
) -> Result<Tensor<E>> {
    if !(regularisation.is_finite() && regularisation > 0.0) {
        let expected = "a number above 0, such as a twentieth of the mean cost";
        return Err(Error::argument("sinkhorn", "regularisation", regularisation, expected));
    }
    if cost.rank() != 2 || cost.numel() == 0 || !cost.is_finite() {
        let got = format!("{:?}", cost.dims());
        return Err(Error::argument("sinkhorn", "cost", got, "a finite matrix"));
    }
    let (n, m) = (cost.size(0)? as f64, cost.size(1)? as f64);
    let k = cost.detach().mul_scalar(E::from_f64(-1.0 / regularisation));
    let (mut f, mut g) =
        (Tensor::zeros([cost.size(0)?, 1]), Tensor::<E>::zeros([1, cost.size(1)?]));
    for _ in 0..iterations.max(1) {
        f = k.add(&g)?.logsumexp(1, true)?.neg().add_scalar(E::from_f64(-n.ln()));
        g = k.add(&f)?.logsumexp(0, true)?.neg().add_scalar(E::from_f64(-m.ln()));
    }
    Ok(k.add(&f)?.add(&g)?.exp())
}

/// `Σ plan · cost`, with the plan as a constant.
///
/// # Errors
/// Shapes that differ.
pub fn transport_cost<E: Elem>(plan: &Tensor<E>, cost: &Tensor<E>) -> Result<Tensor<E>> {
    Ok(plan.detach().mul(cost)?.sum_all())
}

/// DeepJDOT's cost of each pair (Damodaran et al. 2018, eq. 6):
/// `a |f_s - f_t|² + b · CE(y_s, p_t)`, `[n, m]`, from features, one-hot source
/// labels `[n, c]` and target logits `[m, c]`.
///
/// # Errors
/// Shapes that do not fit.
pub fn joint_cost<E: Elem>(
    features: (&Tensor<E>, &Tensor<E>),
    labels: &Tensor<E>,
    logits: &Tensor<E>,
    weights: (f64, f64),
) -> Result<Tensor<E>> {
    let (s, t) = features;
    let cross = s.matmul(&t.t()?)?.mul_scalar(E::from_f64(-2.0));
    let apart = cross.add(&s.square().sum(-1, true)?)?.add(&t.square().sum(-1, false)?)?;
    let entropy = labels.matmul(&logits.log_softmax(-1)?.t()?)?.neg();
    let (a, b) = (E::from_f64(weights.0), E::from_f64(weights.1));
    Ok(apart.mul_scalar(a).add(&entropy.mul_scalar(b))?)
}
