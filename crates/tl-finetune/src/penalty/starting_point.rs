//! L2-SP: weights near where they began.

use crate::Result;
use tl_nn::{Glob, Module, ModuleExt, Tensor};

/// Where a model was when fine-tuning began.
#[derive(Clone, Debug)]
pub struct StartingPoint {
    weights: Vec<(String, Tensor)>,
    head: Glob,
}

impl StartingPoint {
    /// Remembers the trainable weights of a model. What `head` names is new and
    /// has no starting point.
    ///
    /// # Errors
    /// A pattern that is not valid.
    pub fn of<M: Module>(model: &M, head: &str) -> Result<Self> {
        let weights = model
            .params()
            .into_iter()
            .filter(|(_, p)| !p.is_frozen())
            .map(|(path, p)| (path, p.tensor().detach()))
            .collect();
        Ok(Self { weights, head: Glob::new(head)? })
    }

    /// L2-SP (Li et al. 2018, eq. 2): `α/2 |w - w⁰|² + β/2 |w_head|²`. Exempt
    /// these weights from ordinary decay. Usual: both 0.01.
    ///
    /// # Errors
    /// A model with other weights.
    pub fn l2_sp<M: Module>(&self, model: &M, alpha: f32, beta: f32) -> tl_nn::Result<Tensor> {
        let mut sum = Tensor::scalar(0.0);
        let now: Vec<_> = model.params();
        for (path, from) in &self.weights {
            let Some((_, param)) = now.iter().find(|(p, _)| p == path) else {
                let expected = "the model that was remembered";
                return Err(tl_nn::Error::argument("l2-sp", "model", path, expected));
            };
            let part = if self.head.matches(path) {
                param.tensor().square().sum_all().mul_scalar(beta / 2.0)
            } else {
                param.tensor().sub(from)?.square().sum_all().mul_scalar(alpha / 2.0)
            };
            sum = sum.add(&part)?;
        }
        Ok(sum)
    }
}
