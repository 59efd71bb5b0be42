//! The distance of target features to source classes.

use super::Evidence;
use crate::Result;
use tl_nn::Tensor;

pub(super) fn distance(e: &Evidence<'_>) -> Result<f64> {
    let classes = e.source_logits.size(1)?;
    let members = Tensor::one_hot(&e.source_labels.into(), classes)?;
    let counts = members.sum(0, true)?.t()?;
    let present: Vec<usize> = (0..classes).filter(|&c| counts.to_vec()[c] > 0.0).collect();
    let means = members
        .t()?
        .matmul(e.source_features)?
        .div(&counts.clamp(1.0, f32::INFINITY))?
        .index_select(0, &present.into())?;
    let apart = |a: &Tensor, b: &Tensor| -> Result<Tensor> {
        let cross = a.matmul(&b.t()?)?.mul_scalar(-2.0);
        Ok(cross.add(&a.square().sum(-1, true)?)?.add(&b.square().sum(-1, false)?)?.relu().sqrt())
    };
    let near = apart(e.target_features, &means)?.min(-1, false)?.mean_all().item()?;
    let k = means.size(0)? as f32;
    let between = apart(&means, &means)?.sum_all().item()? / (k * (k - 1.0)).max(1.0);
    Ok(f64::from(near / between.max(1e-12)))
}
