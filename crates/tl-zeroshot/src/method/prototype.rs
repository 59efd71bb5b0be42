//! Prototypes predicted from signatures.

use super::{Compatibility, Method};
use crate::{Result, Seen};
use serde::{Deserialize, Serialize};
use tl_nn::{Ctx, Forward, Linear, Tensor, shallow::Ridge};

/// A ridge regression from a class's signature to the mean of its samples; a
/// sample belongs to the nearest predicted mean. To regress from signatures to
/// features, not the other way, keeps hubs away (Shigeto et al. 2015). Default
/// `alpha`: 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrototypeRegression {
    /// The strength of the penalty, above 0.
    pub alpha: f64,
}

impl Default for PrototypeRegression {
    fn default() -> Self {
        Self { alpha: 1.0 }
    }
}

#[derive(Clone, Debug)]
struct Prototypes {
    map: Linear,
}

impl Compatibility for Prototypes {
    /// Minus half the squared distance, up to what all classes share.
    fn scores(&self, x: &Tensor, signatures: &Tensor) -> Result<Tensor> {
        let means = self.map.forward(signatures, &mut Ctx::eval())?;
        let size = means.square().sum(-1, false)?.mul_scalar(0.5);
        Ok(x.matmul(&means.t()?)?.sub(&size)?)
    }
}

impl Method for PrototypeRegression {
    fn name(&self) -> &'static str {
        "prototype regression"
    }

    fn fit(&self, seen: &Seen) -> Result<Box<dyn Compatibility>> {
        let map = Ridge::new(self.alpha).fit(seen.signatures().table(), &seen.means()?)?;
        Ok(Box::new(Prototypes { map }))
    }
}
