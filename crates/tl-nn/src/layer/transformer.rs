//! The transformer encoder.

use crate::{
    Act, AttentionMask, Ctx, Dropout, Forward, LayerNorm, Linear, MultiHeadAttention, Result,
    Within, module,
};
use rand::RngCore;
use tl_tensor::Tensor;

/// One layer of the transformer encoder (Vaswani et al. 2017, section 3.1):
/// self-attention and a feed-forward network, each with a residual and layer
/// normalisation. `[n, l, d]` to the same shape.
///
/// Names are those of PyTorch's `TransformerEncoderLayer`; defaults too:
/// normalisation after each part, ReLU, dropout 0.1.
#[derive(Clone, Debug)]
pub struct TransformerEncoderLayer {
    /// The attention.
    pub self_attn: MultiHeadAttention,
    /// From the width to the hidden size.
    pub linear1: Linear,
    /// And back.
    pub linear2: Linear,
    /// Beside the attention.
    pub norm1: LayerNorm,
    /// Beside the feed-forward network.
    pub norm2: LayerNorm,
    /// Dropout in the feed-forward network and of both branches.
    pub dropout: Dropout,
    /// Normalisation before each part instead of after it.
    pub norm_first: bool,
    /// The function in the feed-forward network.
    pub activation: Act,
}
module!(TransformerEncoderLayer {
    self_attn, linear1, linear2, norm1, norm2;
    skip dropout, norm_first, activation
});

impl TransformerEncoderLayer {
    /// A layer of this width, with this many heads and hidden units.
    ///
    /// # Errors
    /// The heads do not divide the width.
    pub fn new(width: usize, heads: usize, hidden: usize, rng: &mut dyn RngCore) -> Result<Self> {
        let mut self_attn = MultiHeadAttention::new(width, heads, rng)?;
        self_attn.dropout = 0.1;
        Ok(Self {
            self_attn,
            linear1: Linear::new(width, hidden, rng),
            linear2: Linear::new(hidden, width, rng),
            norm1: LayerNorm::new(width),
            norm2: LayerNorm::new(width),
            dropout: Dropout::new(0.1),
            norm_first: false,
            activation: Act::Relu,
        })
    }

    /// Sets every dropout.
    #[must_use]
    pub fn dropout(mut self, p: f64) -> Self {
        (self.dropout.p, self.self_attn.dropout) = (p, p);
        self
    }

    /// Normalises before each part instead of after it.
    #[must_use]
    pub fn norm_first(mut self) -> Self {
        self.norm_first = true;
        self
    }

    /// Sets the function in the feed-forward network.
    #[must_use]
    pub fn activation(mut self, activation: Act) -> Self {
        self.activation = activation;
        self
    }

    fn attention(&self, x: &Tensor, mask: &AttentionMask, cx: &mut Ctx) -> Result<Tensor> {
        let y = self.self_attn.forward_self(x, mask, cx).within("self_attn")?;
        self.dropout.forward(&y, cx)
    }

    fn feed_forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let hidden = self.linear1.forward_then(x, self.activation, cx).within("linear1")?;
        let hidden = self.dropout.forward(&hidden, cx)?;
        let y = self.linear2.forward(&hidden, cx).within("linear2")?;
        self.dropout.forward(&y, cx)
    }

    /// The output for `x`, where `mask` says what may be seen.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward_masked(&self, x: &Tensor, mask: &AttentionMask, cx: &mut Ctx) -> Result<Tensor> {
        if self.norm_first {
            let x = x.add(&self.attention(&self.norm1.forward(x, cx)?, mask, cx)?)?;
            let y = self.feed_forward(&self.norm2.forward(&x, cx)?, cx)?;
            return Ok(x.add(&y)?);
        }
        let x = self.norm1.forward(&x.add(&self.attention(x, mask, cx)?)?, cx)?;
        self.norm2.forward(&x.add(&self.feed_forward(&x, cx)?)?, cx)
    }
}

impl Forward for TransformerEncoderLayer {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        self.forward_masked(x, &AttentionMask::default(), cx)
    }
}

/// Encoder layers one after another, and perhaps a last normalisation.
#[derive(Clone, Debug)]
pub struct TransformerEncoder {
    /// The layers.
    pub layers: Vec<TransformerEncoderLayer>,
    /// After the last layer, usual where layers normalise first.
    pub norm: Option<LayerNorm>,
}
module!(TransformerEncoder { layers, norm });

impl TransformerEncoder {
    /// The output for `x`, where `mask` says what may be seen.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward_masked(&self, x: &Tensor, mask: &AttentionMask, cx: &mut Ctx) -> Result<Tensor> {
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            x = cx.within(&format!("layers.{i}"), |cx| layer.forward_masked(&x, mask, cx))?;
        }
        match &self.norm {
            Some(norm) => norm.forward(&x, cx),
            None => Ok(x),
        }
    }
}

impl Forward for TransformerEncoder {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        self.forward_masked(x, &AttentionMask::default(), cx)
    }
}
