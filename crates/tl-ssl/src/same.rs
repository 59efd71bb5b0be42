//! A view that is the sample itself.

use rand_chacha::ChaCha8Rng;
use tl_data::transform::Transform;
use tl_nn::Tensor;

/// Changes nothing: for methods that need no views (VIME, masked pixels), and for
/// encoders whose dropout makes them (SimCSE).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Same;

impl Transform for Same {
    fn apply(&self, features: &Tensor, _rng: &mut ChaCha8Rng) -> tl_data::Result<Tensor> {
        Ok(features.clone())
    }
}
