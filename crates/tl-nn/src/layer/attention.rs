//! Multi-head attention.

use crate::{Ctx, Error, Forward, Linear, Param, Result, init, module};
use rand::RngCore;
use tl_tensor::{Attention, Tensor};

/// Which keys a query may see.
#[derive(Clone, Debug, Default)]
pub struct AttentionMask {
    /// 1 where a key counts, 0 where it is padding: `[n, s]`.
    pub keys: Option<Tensor>,
    /// 1 where a query may see a key, 0 where not: `[l, s]`.
    pub pairs: Option<Tensor>,
    /// A query sees only keys at its place and before.
    pub causal: bool,
}

/// Multi-head attention (Vaswani et al. 2017, section 3.2.2), batch first:
/// queries `[n, l, d]`, keys and values `[n, s, d]`, result `[n, l, d]`.
///
/// Names and layouts are those of PyTorch's `MultiheadAttention`: the three
/// projections are rows of `in_proj_weight` `[3 d, d]`. They begin uniform
/// (Xavier), biases at 0.
#[derive(Clone, Debug)]
pub struct MultiHeadAttention {
    /// Projections of queries, keys and values, one below another: `[3 d, d]`.
    pub in_proj_weight: Param,
    /// `[3 d]`.
    pub in_proj_bias: Option<Param>,
    /// The projection of the result.
    pub out_proj: Linear,
    /// Heads; a divisor of d.
    pub heads: usize,
    /// Dropout of attention weights in training.
    pub dropout: f64,
}
module!(MultiHeadAttention { in_proj_weight, in_proj_bias, out_proj; skip heads, dropout });

impl MultiHeadAttention {
    /// A layer of this width and number of heads.
    ///
    /// # Errors
    /// The heads do not divide the width.
    pub fn new(width: usize, heads: usize, rng: &mut dyn RngCore) -> Result<Self> {
        if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
            return Err(Error::argument(
                "MultiHeadAttention",
                "heads",
                heads,
                format!("a divisor of the width {width}"),
            ));
        }
        let mut out_proj = Linear::new(width, width, rng);
        out_proj.bias = Some(Param::new(Tensor::zeros(width)));
        Ok(Self {
            in_proj_weight: Param::new(init::xavier_uniform([3 * width, width], 1.0, rng)),
            in_proj_bias: Some(Param::new(Tensor::zeros(3 * width))),
            out_proj,
            heads,
            dropout: 0.0,
        })
    }

    fn project(&self, x: &Tensor, part: usize, parts: usize) -> Result<Tensor> {
        let width = self.out_proj.weight.dims()[0];
        let weight = self.in_proj_weight.adapted()?.narrow(0, part * width, parts * width)?;
        let bias = match &self.in_proj_bias {
            Some(bias) => Some(bias.adapted()?.narrow(0, part * width, parts * width)?),
            None => None,
        };
        Ok(x.linear(&weight, bias.as_ref())?)
    }

    /// The result for queries, keys and values.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        mask: &AttentionMask,
        cx: &mut Ctx,
    ) -> Result<Tensor> {
        let (q, k, v) =
            (self.project(query, 0, 1)?, self.project(key, 1, 1)?, self.project(value, 2, 1)?);
        let y = self.attention(mask, cx)?.forward_heads(&q, &k, &v, self.heads)?;
        self.out_proj.forward(&y, cx)
    }

    /// The result where queries, keys and values are the same: one product for
    /// the three projections.
    ///
    /// # Errors
    /// Shapes that do not fit.
    pub fn forward_self(&self, x: &Tensor, mask: &AttentionMask, cx: &mut Ctx) -> Result<Tensor> {
        let qkv = self.project(x, 0, 3)?;
        let y = self.attention(mask, cx)?.forward_packed(&qkv, self.heads)?;
        self.out_proj.forward(&y, cx)
    }

    /// Attention with this mask, for heads `[n, heads, l, s]`, and with dropout in training.
    fn attention(&self, mask: &AttentionMask, cx: &mut Ctx) -> Result<Attention> {
        let mut attention = Attention::new().causal(mask.causal);
        if cx.is_train() {
            attention = attention.dropout(self.dropout, cx.rng())?;
        }
        let keys = match &mask.keys {
            Some(keys) => {
                Some(keys.reshape([keys.dims()[0], 1, 1, keys.numel() / keys.dims()[0].max(1)])?)
            }
            None => None,
        };
        let keep = match (keys, &mask.pairs) {
            (Some(keys), Some(pairs)) => Some(keys.mul(pairs)?),
            (Some(keys), None) => Some(keys),
            (None, pairs) => pairs.clone(),
        };
        Ok(match keep {
            Some(keep) => attention.keep(keep),
            None => attention,
        })
    }
}
