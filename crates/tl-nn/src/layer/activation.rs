//! Functions of each element, and flattening, as layers.

use crate::{Ctx, Forward, Result};
use tl_tensor::{Activation, Tensor};

/// A function of each element.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Act {
    /// `x`.
    Identity,
    /// `max(x, 0)`.
    #[default]
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` or, where negative, this factor times `x`.
    LeakyRelu(f32),
    /// `x` or, where negative, this factor times `eˣ - 1`.
    Elu(f32),
    /// `x Φ(x)`.
    Gelu,
    /// GELU by its approximation with tanh.
    GeluTanh,
    /// `x / (1 + e⁻ˣ)`.
    Silu,
    /// `x min(max(x + 3, 0), 6) / 6`.
    Hardswish,
    /// `tanh x`.
    Tanh,
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// `ln(1 + eˣ)`.
    Softplus,
}
impl crate::Module for Act {
    fn visit<'a>(&'a self, _: &mut dyn crate::Visit<'a>) {}
    fn visit_mut(&mut self, _: &mut dyn crate::VisitMut) {}
}

impl Act {
    /// The function as a linear layer applies it in the same pass; none if it
    /// has no such form.
    pub fn fused(self) -> Option<Activation> {
        Some(match self {
            Self::Identity => Activation::Identity,
            Self::Relu => Activation::Relu,
            Self::Gelu => Activation::Gelu,
            Self::Tanh => Activation::Tanh,
            Self::Sigmoid => Activation::Sigmoid,
            _ => return None,
        })
    }

    /// The function of `x`.
    pub fn apply(self, x: &Tensor) -> Tensor {
        match self {
            Self::Identity => x.clone(),
            Self::Relu => x.relu(),
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::LeakyRelu(slope) => x.leaky_relu(slope),
            Self::Elu(alpha) => x.elu(alpha),
            Self::Gelu => x.gelu(),
            Self::GeluTanh => x.gelu_tanh(),
            Self::Silu => x.silu(),
            Self::Hardswish => x.hardswish(),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => x.sigmoid(),
            Self::Softplus => x.softplus(),
        }
    }
}

impl Forward for Act {
    fn forward(&self, x: &Tensor, _: &mut Ctx) -> Result<Tensor> {
        Ok(self.apply(x))
    }
}

/// All axes but the first joined: `[n, ..]` becomes `[n, size]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flatten;
impl crate::Module for Flatten {
    fn visit<'a>(&'a self, _: &mut dyn crate::Visit<'a>) {}
    fn visit_mut(&mut self, _: &mut dyn crate::VisitMut) {}
}

impl Forward for Flatten {
    fn forward(&self, x: &Tensor, _: &mut Ctx) -> Result<Tensor> {
        Ok(if x.rank() < 2 { x.clone() } else { x.flatten(1, -1)? })
    }
}
