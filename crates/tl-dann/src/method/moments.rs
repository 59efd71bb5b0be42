//! Methods that are one loss on the features of both domains.

use super::align::{Align, Pair};
use crate::{
    Kernels, MmdForm, Result, central_moments, coral, feature_norm, hard_feature_norm, joint_mmd,
    mmd,
};
use tl_nn::{Ctx, Tensor};

/// DAN (Long et al. 2015): a discrepancy with five kernels.
pub(crate) struct Dan {
    pub(crate) form: MmdForm,
}

impl Align for Dan {
    fn term(&self, pair: &Pair<'_>, _: &mut Ctx) -> Result<Tensor> {
        mmd(&pair.source.features, &pair.target.features, &Kernels::default(), self.form)
    }
}

/// JAN (Long et al. 2017): the joint discrepancy of features and predictions.
pub(crate) struct Jan {
    pub(crate) form: MmdForm,
}

impl Align for Jan {
    fn term(&self, pair: &Pair<'_>, _: &mut Ctx) -> Result<Tensor> {
        let (ps, pt) = (pair.source.logits.softmax(-1)?, pair.target.logits.softmax(-1)?);
        let layers = [(&pair.source.features, &pair.target.features), (&ps, &pt)];
        joint_mmd(&layers, &[Kernels::default(), Kernels::Mean(vec![1.0])], self.form)
    }
}

/// Deep CORAL (Sun and Saenko 2016): covariances.
pub(crate) struct DeepCoral;

impl Align for DeepCoral {
    fn term(&self, pair: &Pair<'_>, _: &mut Ctx) -> Result<Tensor> {
        coral(&pair.source.features, &pair.target.features)
    }
}

/// CMD (Zellinger et al. 2017): means and central moments, of features that are
/// squashed to 0 to 1 first, as the definition wants bounded ones.
pub(crate) struct Cmd {
    pub(crate) order: i32,
}

impl Align for Cmd {
    fn term(&self, pair: &Pair<'_>, _: &mut Ctx) -> Result<Tensor> {
        let (s, t) = (pair.source.features.sigmoid(), pair.target.features.sigmoid());
        central_moments(&s, &t, self.order, 1.0)
    }
}

/// AFN (Xu et al. 2019): feature norms that grow by steps (SAFN), or with a
/// radius go to it (HAFN). A step is one mean norm of the batch, so that it gets
/// weaker as norms grow; the paper's step of 1 is for norms of some 10 to 25 of
/// 1,000 features, and never ends.
pub(crate) struct Afn {
    pub(crate) radius: Option<f64>,
}

impl Align for Afn {
    fn term(&self, pair: &Pair<'_>, _: &mut Ctx) -> Result<Tensor> {
        let of = |x: &Tensor| match self.radius {
            Some(radius) => hard_feature_norm(x, radius),
            None => {
                let mean = x.norm(-1, false)?.mean_all().detach().clamp(1e-6, f32::INFINITY);
                feature_norm(&x.div(&mean)?, 1.0)
            }
        };
        Ok(of(&pair.source.features)?.add(&of(&pair.target.features)?)?)
    }
}
