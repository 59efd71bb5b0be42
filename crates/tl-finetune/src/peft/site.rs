//! Where an adapter works: an affine layer or a convolution.

use crate::Result;
use tl_nn::Tensor;
use tl_tensor::Conv;

/// The layer around an adapted weight.
#[derive(Clone, Copy)]
pub(super) enum Site<'a> {
    /// `[.., in]` to `[.., out]`.
    Linear,
    /// Images, in one group.
    Conv(&'a Conv),
}

impl Site<'_> {
    /// The layer itself.
    pub(super) fn full(self, x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        Ok(match self {
            Self::Linear => x.linear(w, bias)?,
            Self::Conv(conv) => conv.conv2d(x, w, bias)?,
        })
    }

    /// From the output of the layer with the weight `A` to that with `B A`.
    pub(super) fn up(self, hidden: &Tensor, b: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Linear => hidden.linear(b, None)?,
            Self::Conv(_) => {
                let b = b.reshape([b.dims()[0], b.dims()[1], 1, 1])?;
                Conv::new().conv2d(hidden, &b, None)?
            }
        })
    }

    /// A number for each channel `[c]`, to multiply inputs or outputs with.
    pub(super) fn channels(self, v: &Tensor) -> Result<Tensor> {
        let c = v.numel();
        Ok(match self {
            Self::Linear => v.reshape([c])?,
            Self::Conv(_) => v.reshape([c, 1, 1])?,
        })
    }
}
