//! Heads that are trained anew on every support set.

use super::{Head, head::unit};
use crate::Result;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_data::{Batching, Dataset};
use tl_nn::{
    CrossEntropy, Ctx, Error, Forward, Indices, Optimizer, Param, Sgd, Tensor, Trainer, init,
    module, shallow::LogisticRegression,
};

/// A classifier by angle: `scale · cos(x, w_c)` for every class `c` (Gidaris and
/// Komodakis 2018; Chen et al. 2019, section 3.2).
#[derive(Clone, Debug)]
pub struct CosineClassifier {
    /// A direction for every class, `[classes, d]`.
    pub weight: Param,
    /// What the cosine is multiplied by.
    pub scale: f32,
}
module!(CosineClassifier { weight; skip scale });

impl CosineClassifier {
    /// With random directions and a scale of 10; Chen et al. take 2 to 30.
    pub fn new(features: usize, classes: usize, rng: &mut dyn rand::RngCore) -> Self {
        let bound = 1.0 / (features.max(1) as f32).sqrt();
        let weight = init::uniform([classes, features], -bound, bound, rng);
        Self { weight: Param::new(weight), scale: 10.0 }
    }
}

impl Forward for CosineClassifier {
    fn forward(&self, x: &Tensor, _: &mut Ctx) -> tl_nn::Result<Tensor> {
        let cosines = unit(x)?.matmul(&unit(self.weight.tensor())?.t()?)?;
        Ok(cosines.mul_scalar(self.scale))
    }
}

/// Baseline++ (Chen et al. 2019): a [`CosineClassifier`] trained on the support
/// set of every task by gradient descent, on features of an encoder that was
/// pre-trained as a plain classifier. Hard to beat, says the paper.
///
/// Defaults of the paper: 100 passes in batches of 4, rate 0.01, momentum and
/// dampening 0.9, weight decay 0.001.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fitted {
    /// Passes over the support set.
    pub epochs: usize,
    /// Samples of a step.
    pub batch: usize,
    /// The rate.
    pub lr: f32,
}
module!(Fitted {; skip epochs, batch, lr });

impl Default for Fitted {
    fn default() -> Self {
        Self { epochs: 100, batch: 4, lr: 0.01 }
    }
}

impl Head for Fitted {
    fn logits(
        &self,
        support: &Tensor,
        labels: &Indices,
        ways: usize,
        queries: &Tensor,
    ) -> Result<Tensor> {
        let names = (0..ways).map(|c| c.to_string());
        let data = Dataset::classification(support.detach(), labels.as_slice().to_vec(), names)?;
        let loader = data.batches(Batching::new(self.batch).shuffled(0))?;
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut head = CosineClassifier::new(support.size(-1)?, ways, &mut rng);
        let rule = Sgd { momentum: 0.9, dampening: 0.9, weight_decay: 1e-3, ..Sgd::new(self.lr) };
        Trainer::new(Optimizer::new(rule), self.epochs).fit(
            &mut head,
            |epoch| loader.epoch(epoch as u64),
            |head, batch, cx| {
                let labels = batch.labels().map_err(Error::other)?;
                Ok(CrossEntropy::new().loss(&head.forward(&batch.features, cx)?, labels)?)
            },
        )?;
        Ok(head.forward(&queries.detach(), &mut Ctx::eval())?)
    }
}

/// Logistic regression fitted to every support set, on features of length 1
/// (Tian et al. 2020): what a good pre-trained encoder needs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logistic {
    /// The inverse of the strength of its ridge penalty. Default 1.
    pub c: f64,
}
module!(Logistic {; skip c });

impl Default for Logistic {
    fn default() -> Self {
        Self { c: 1.0 }
    }
}

impl Head for Logistic {
    fn logits(
        &self,
        support: &Tensor,
        labels: &Indices,
        ways: usize,
        queries: &Tensor,
    ) -> Result<Tensor> {
        let x = unit(&support.detach())?;
        let fit = LogisticRegression::new().c(self.c).fit(&x, labels.as_slice(), ways)?;
        Ok(fit.logits(&unit(&queries.detach())?)?)
    }
}
