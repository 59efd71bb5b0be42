//! Transport of labels.

use super::{pair, squared_distances};
use crate::{Error, Result, sinkhorn};
use serde::{Deserialize, Serialize};
use tl_nn::{Ctx, Forward, Linear, Tensor, shallow::Ridge};
use tl_tensor::Elem;

/// The labels that a transport plan `[n, m]` brings to the target: for each
/// sample the mean of source labels `[n, c]`, weighted by what comes from each,
/// `[m, c]` (Courty et al. 2017b; Redko et al. 2019). Rows of one-hot labels give
/// probabilities.
///
/// ```
/// use tl_dann::propagate_labels;
/// use tl_tensor::Tensor;
/// # fn main() -> tl_dann::Result<()> {
/// let plan = Tensor::<f64>::from_vec(vec![0.3, 0.2, 0.0, 0.5], [2, 2])?;
/// let labels = Tensor::eye(2);
/// assert_eq!(propagate_labels(&plan, &labels)?.to_vec()[..2], [1.0, 0.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Shapes that do not fit.
pub fn propagate_labels<E: Elem>(plan: &Tensor<E>, labels: &Tensor<E>) -> Result<Tensor<E>> {
    let (sums, most) = (plan.sum(0, true)?.t()?, E::from_f64(f64::INFINITY));
    Ok(plan.t()?.matmul(labels)?.div(&sums.clamp(E::from_f64(1e-12), most))?)
}

/// The barycentric map (Courty et al. 2017a, eq. 14): each source sample moves to
/// the mean of what it is transported to, `[n, d]`, from a plan `[n, m]` and
/// target features `[m, d]`. Train on the result with the source's labels.
///
/// # Errors
/// Shapes that do not fit.
pub fn transport_map<E: Elem>(plan: &Tensor<E>, target: &Tensor<E>) -> Result<Tensor<E>> {
    let (sums, most) = (plan.sum(1, true)?, E::from_f64(f64::INFINITY));
    Ok(plan.matmul(target)?.div(&sums.clamp(E::from_f64(1e-12), most))?)
}

/// Joint distribution optimal transport (Courty et al. 2017b, eq. 5): a
/// classifier on target features, learned in turns with the plan whose cost is
/// `α |x_s - x_t|² + |y_s - f(x_t)|²`: given the plan, `f` is the ridge regression
/// on the labels that it brings; given `f`, the plan is Sinkhorn's.
///
/// Defaults: `α` 1 over the largest squared distance, as in the paper; ridge
/// penalty 1; 10 turns; regularisation 0.02 of the mean cost.
///
/// ```
/// use tl_dann::Jdot;
/// use tl_nn::{Ctx, Forward, Tensor};
/// # fn main() -> tl_dann::Result<()> {
/// let source = Tensor::from_vec(vec![0.0, 0.2, 4.0, 4.2], [4, 1])?;
/// let target = source.add_scalar(1.5); // moved
/// let head = Jdot::new().fit(&source, &[0, 0, 1, 1], &target, 2)?;
/// let said = tl_nn::metric::predictions(&head.forward(&target, &mut Ctx::eval())?)?;
/// assert_eq!(said, [0, 0, 1, 1]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jdot {
    /// What squared distances are multiplied by; none for 1 over the largest.
    pub alpha: Option<f64>,
    /// The penalty of the ridge regression.
    pub ridge: f64,
    /// Turns of plan and classifier.
    pub turns: usize,
    /// Sinkhorn's regularisation as a part of the mean cost.
    pub regularisation: f64,
}

impl Default for Jdot {
    fn default() -> Self {
        Self { alpha: None, ridge: 1.0, turns: 10, regularisation: 0.02 }
    }
}

impl Jdot {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The classifier of target features `[m, d]`, from source features `[n, d]`
    /// and their labels. The plan is `[n, m]`: some 2,000 of each.
    ///
    /// # Errors
    /// Features that do not fit; labels out of range; settings out of range.
    pub fn fit(
        &self,
        source: &Tensor,
        labels: &[usize],
        target: &Tensor,
        classes: usize,
    ) -> Result<Linear> {
        let [n, _, _] = pair("JDOT", source, target)?;
        if self.turns == 0 || labels.len() != n {
            let got = format!("{} turns, {} labels", self.turns, labels.len());
            let expected = format!("1 turn or more, a label for each of {n} samples");
            return Err(Error::argument("JDOT", "turns, labels", got, expected));
        }
        if let Some(alpha) = self.alpha.filter(|a| !(a.is_finite() && *a >= 0.0)) {
            return Err(Error::argument("JDOT", "alpha", alpha, "a finite number from 0 on"));
        }
        let y = Tensor::<f64>::one_hot(&labels.into(), classes)?;
        let far = squared_distances(&source.cast::<f64>(), &target.cast::<f64>())?;
        let most = far.to_vec().into_iter().fold(1e-12, f64::max);
        let far = far.mul_scalar(self.alpha.unwrap_or(1.0 / most));
        let mut cost = far.clone();
        let mut turn = 0;
        loop {
            let mean = cost.mean_all().item()?.max(1e-12);
            let plan = sinkhorn(&cost, self.regularisation * mean, 200)?;
            let brought = propagate_labels(&plan, &y)?.cast::<f32>();
            let head = Ridge::new(self.ridge).fit(target, &brought)?;
            turn += 1;
            if turn == self.turns {
                return Ok(head);
            }
            let said = head.forward(target, &mut Ctx::eval())?.detach().cast::<f64>();
            cost = far.add(&squared_distances(&y, &said)?)?;
        }
    }
}
