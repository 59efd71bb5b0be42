//! DistilBERT.

use super::{
    TextBatch, TextModel, activation, attend, check, embedding, linear, load, read_config,
};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::path::Path;
use tl_nn::{
    Act, Ctx, Dropout, Embedding, Error, Forward, LayerNorm, Linear, Result, StateDict, Tensor,
    Within, module,
};

/// The shape of a [`DistilBert`]: the fields of the home's `config.json` that
/// matter here, with its defaults. Others are skipped when reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DistilBertConfig {
    /// Tokens in the table.
    pub vocab_size: usize,
    /// Numbers of a token.
    pub dim: usize,
    /// Layers.
    pub n_layers: usize,
    /// Attention heads; a divisor of the width.
    pub n_heads: usize,
    /// Hidden units of the feed-forward network.
    pub hidden_dim: usize,
    /// The function in it.
    pub activation: String,
    /// Dropout of outputs, in training.
    pub dropout: f64,
    /// Dropout of attention weights, in training.
    pub attention_dropout: f64,
    /// The longest sequence.
    pub max_position_embeddings: usize,
    /// The token for padding.
    pub pad_token_id: usize,
}

impl Default for DistilBertConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30_522,
            dim: 768,
            n_layers: 6,
            n_heads: 12,
            hidden_dim: 3072,
            activation: "gelu".into(),
            dropout: 0.1,
            attention_dropout: 0.1,
            max_position_embeddings: 512,
            pad_token_id: 0,
        }
    }
}

impl DistilBertConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// It cannot be read or is not one.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        read_config(path.as_ref())
    }
}

#[derive(Clone, Debug)]
struct Embeddings {
    word_embeddings: Embedding,
    position_embeddings: Embedding,
    norm: LayerNorm,
}
module!(Embeddings { word_embeddings, position_embeddings, norm as "LayerNorm" });

#[derive(Clone, Debug)]
struct Projections {
    q_lin: Linear,
    k_lin: Linear,
    v_lin: Linear,
    out_lin: Linear,
}
module!(Projections { q_lin, k_lin, v_lin, out_lin });

#[derive(Clone, Debug)]
struct FeedForward {
    lin1: Linear,
    lin2: Linear,
}
module!(FeedForward { lin1, lin2 });

#[derive(Clone, Debug)]
struct Block {
    attention: Projections,
    sa_layer_norm: LayerNorm,
    ffn: FeedForward,
    output_layer_norm: LayerNorm,
    heads: usize,
    attention_dropout: f64,
    dropout: Dropout,
    act: Act,
}
module!(Block {
    attention, sa_layer_norm, ffn, output_layer_norm;
    skip heads, attention_dropout, dropout, act
});

impl Block {
    fn new(config: &DistilBertConfig, rng: &mut dyn RngCore) -> Result<Self> {
        let (d, hidden) = (config.dim, config.hidden_dim);
        let norm = || LayerNorm::new(d).eps(1e-12);
        Ok(Self {
            attention: Projections {
                q_lin: linear(d, d, rng),
                k_lin: linear(d, d, rng),
                v_lin: linear(d, d, rng),
                out_lin: linear(d, d, rng),
            },
            sa_layer_norm: norm(),
            ffn: FeedForward { lin1: linear(d, hidden, rng), lin2: linear(hidden, d, rng) },
            output_layer_norm: norm(),
            heads: config.n_heads,
            attention_dropout: config.attention_dropout,
            dropout: Dropout::new(config.dropout),
            act: activation(&config.activation)?,
        })
    }

    fn run(&self, x: &Tensor, mask: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let a = &self.attention;
        let q = a.q_lin.forward(x, cx).within("attention.q_lin")?;
        let k = a.k_lin.forward(x, cx).within("attention.k_lin")?;
        let v = a.v_lin.forward(x, cx).within("attention.v_lin")?;
        let y = attend([&q, &k, &v], mask, self.heads, self.attention_dropout, cx)?;
        let y = a.out_lin.forward(&y, cx).within("attention.out_lin")?;
        let x = self.sa_layer_norm.forward(&y.add(x)?, cx)?;
        let hidden = self.ffn.lin1.forward_then(&x, self.act, cx).within("ffn.lin1")?;
        let y = self.ffn.lin2.forward(&hidden, cx).within("ffn.lin2")?;
        let y = self.dropout.forward(&y, cx)?;
        self.output_layer_norm.forward(&y.add(&x)?, cx)
    }
}

#[derive(Clone, Debug)]
struct Transformer {
    layer: Vec<Block>,
}
module!(Transformer { layer });

/// DistilBERT (Sanh et al. 2019) with the names of Hugging Face's
/// `DistilBertModel`. Its taps are `embeddings`, `transformer.layer.0` .. and
/// `features`.
#[derive(Clone, Debug)]
pub struct DistilBert {
    embeddings: Embeddings,
    transformer: Transformer,
    dropout: Dropout,
}
module!(DistilBert { embeddings, transformer; skip dropout });

impl DistilBert {
    /// A model with random weights: normal of deviation 0.02.
    ///
    /// # Errors
    /// A configuration that makes no sense.
    pub fn new(config: &DistilBertConfig, rng: &mut dyn RngCore) -> Result<Self> {
        let sizes = [config.vocab_size, config.max_position_embeddings, config.hidden_dim];
        check("DistilBert", config.dim, config.n_heads, &sizes)?;
        let embeddings = Embeddings {
            word_embeddings: embedding(config.vocab_size, config.dim, rng),
            position_embeddings: embedding(config.max_position_embeddings, config.dim, rng),
            norm: LayerNorm::new(config.dim).eps(1e-12),
        };
        let layer = (0..config.n_layers).map(|_| Block::new(config, rng));
        Ok(Self {
            embeddings,
            transformer: Transformer { layer: layer.collect::<Result<_>>()? },
            dropout: Dropout::new(config.dropout),
        })
    }

    /// A model with the weights of a safetensors file or of an
    /// `.index.json`; see [`load_pretrained`](crate::load_pretrained).
    ///
    /// # Errors
    /// The file cannot be read or does not fit.
    pub fn from_safetensors(config: &DistilBertConfig, path: impl AsRef<Path>) -> Result<Self> {
        Self::from_state_dict(config, &StateDict::open(path)?)
    }

    /// As [`from_safetensors`](Self::from_safetensors), of a state dict.
    ///
    /// # Errors
    /// The weights do not fit.
    pub fn from_state_dict(config: &DistilBertConfig, dict: &StateDict) -> Result<Self> {
        load(Self::new(config, &mut ChaCha8Rng::seed_from_u64(0))?, dict, None)
    }

    fn embed(&self, batch: &TextBatch, cx: &mut Ctx) -> Result<Tensor> {
        let [_, l] = batch.dims()?;
        let e = &self.embeddings;
        let longest = e.position_embeddings.weight.dims()[0];
        if l > longest {
            let expected = format!("at most {longest} tokens; truncate");
            return Err(Error::argument("DistilBert", "sequence", format!("{l} tokens"), expected));
        }
        let positions = e.position_embeddings.weight.adapted()?.narrow(0, 0, l)?;
        let x = e.word_embeddings.forward(&batch.ids).within("word_embeddings")?.add(&positions)?;
        let x = e.norm.forward(&x, cx)?;
        self.dropout.forward(&x, cx)
    }
}

impl TextModel for DistilBert {
    fn hidden(&self, batch: &TextBatch, cx: &mut Ctx) -> Result<Tensor> {
        let mut x = cx.within("embeddings", |cx| self.embed(batch, cx))?;
        for (i, layer) in self.transformer.layer.iter().enumerate() {
            x =
                cx.within(&format!("transformer.layer.{i}"), |cx| layer.run(&x, &batch.mask, cx))?;
        }
        Ok(x)
    }

    fn feature_size(&self) -> usize {
        self.embeddings.norm.weight.numel()
    }
}
