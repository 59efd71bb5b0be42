//! Transport of features and labels together.

use super::align::{Align, Pair};
use crate::{Result, joint_cost, sinkhorn, transport_cost};
use tl_nn::{Ctx, Tensor};

/// DeepJDOT (Damodaran et al. 2018): the cost of the best plan from the source's
/// features and labels to the target's features and predictions. The plan is that
/// of the batch, by Sinkhorn's iteration with a twentieth of the mean cost as
/// regularisation. `a` is 1 / width, `b` is 1.
pub(crate) struct DeepJdot;

impl Align for DeepJdot {
    fn term(&self, pair: &Pair<'_>, _: &mut Ctx) -> Result<Tensor> {
        let (fs, ft) = (&pair.source.features, &pair.target.features);
        let labels = Tensor::one_hot(pair.labels, pair.source.logits.size(1)?)?;
        let d = fs.size(1)? as f64;
        let cost = joint_cost((fs, ft), &labels, &pair.target.logits, (1.0 / d, 1.0))?;
        let mean = f64::from(cost.mean_all().item()?);
        let plan = sinkhorn(&cost, (0.05 * mean).max(1e-6), 50)?;
        transport_cost(&plan, &cost)
    }
}
