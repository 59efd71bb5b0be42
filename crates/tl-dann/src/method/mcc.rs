//! Minimum class confusion.

use super::align::{Align, Pair};
use crate::{Result, class_confusion};
use tl_nn::{Ctx, Tensor};

/// MCC (Jin et al. 2020): less confusion among target classes.
pub(crate) struct Mcc {
    pub(crate) temperature: f64,
}

impl Align for Mcc {
    fn term(&self, pair: &Pair<'_>, _: &mut Ctx) -> Result<Tensor> {
        class_confusion(&pair.target.logits, self.temperature)
    }
}
