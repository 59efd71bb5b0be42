//! BERT.

use super::{
    AddNorm, Prefix, Prompt, TextBatch, TextModel, activation, attend, check, embedding, linear,
    load, read_config,
    sentence_classifier::{constant, extend_mask},
};
use crate::weights;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::path::Path;
use tl_nn::{
    Act, Ctx, Dropout, Embedding, Error, Forward, Indices, LayerNorm, Linear, Result, StateDict,
    Tensor, Within, module,
};
use tl_tensor::Activation;

/// The shape of a [`Bert`]: the fields of the home's `config.json` that
/// matter here, with its defaults (`bert-base-uncased`). Others are skipped
/// when reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BertConfig {
    /// Tokens in the table.
    pub vocab_size: usize,
    /// Numbers of a token.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads; a divisor of the hidden size.
    pub num_attention_heads: usize,
    /// Hidden units of the feed-forward network.
    pub intermediate_size: usize,
    /// The function in it.
    pub hidden_act: String,
    /// Dropout of outputs, in training.
    pub hidden_dropout_prob: f64,
    /// Dropout of attention weights, in training.
    pub attention_probs_dropout_prob: f64,
    /// The longest sequence.
    pub max_position_embeddings: usize,
    /// Segments.
    pub type_vocab_size: usize,
    /// Added to the variance in normalisation.
    pub layer_norm_eps: f64,
    /// The token for padding.
    pub pad_token_id: usize,
    /// How positions enter; only `absolute` is known here.
    pub position_embedding_type: String,
}

impl Default for BertConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30_522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".into(),
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            pad_token_id: 0,
            position_embedding_type: "absolute".into(),
        }
    }
}

impl BertConfig {
    /// `all-MiniLM-L6-v2`: 6 layers of 384, 22.7 million parameters.
    pub fn mini_lm_l6() -> Self {
        Self { hidden_size: 384, num_hidden_layers: 6, intermediate_size: 1536, ..Self::default() }
    }

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
    token_type_embeddings: Embedding,
    norm: LayerNorm,
}
module!(Embeddings {
    word_embeddings, position_embeddings, token_type_embeddings, norm as "LayerNorm"
});

#[derive(Clone, Debug)]
struct SelfAttention {
    query: Linear,
    key: Linear,
    value: Linear,
}
module!(SelfAttention { query, key, value });

#[derive(Clone, Debug)]
struct BertAttention {
    inner: SelfAttention,
    output: AddNorm,
}
module!(BertAttention { inner as "self", output });

#[derive(Clone, Debug)]
struct Dense {
    dense: Linear,
}
module!(Dense { dense });

#[derive(Clone, Debug)]
struct BertLayer {
    attention: BertAttention,
    intermediate: Dense,
    output: AddNorm,
    heads: usize,
    dropout: f64,
    act: Act,
}
module!(BertLayer { attention, intermediate, output; skip heads, dropout, act });

impl BertLayer {
    fn new(config: &BertConfig, rng: &mut dyn RngCore) -> Result<Self> {
        let (d, hidden) = (config.hidden_size, config.intermediate_size);
        let inner = SelfAttention {
            query: linear(d, d, rng),
            key: linear(d, d, rng),
            value: linear(d, d, rng),
        };
        let add_norm = |dense| AddNorm {
            dense,
            norm: LayerNorm::new(d).eps(config.layer_norm_eps),
            dropout: Dropout::new(config.hidden_dropout_prob),
        };
        Ok(Self {
            attention: BertAttention { inner, output: add_norm(linear(d, d, rng)) },
            intermediate: Dense { dense: linear(d, hidden, rng) },
            output: add_norm(linear(hidden, d, rng)),
            heads: config.num_attention_heads,
            dropout: config.attention_probs_dropout_prob,
            act: activation(&config.hidden_act)?,
        })
    }

    fn run(
        &self,
        x: &Tensor,
        mask: &Tensor,
        before: Option<&[Tensor; 2]>,
        cx: &mut Ctx,
    ) -> Result<Tensor> {
        let inner = &self.attention.inner;
        let q = inner.query.forward(x, cx).within("attention.self.query")?;
        let k = inner.key.forward(x, cx).within("attention.self.key")?;
        let v = inner.value.forward(x, cx).within("attention.self.value")?;
        let (k, v) = match before {
            None => (k, v),
            Some([keys, values]) => (Tensor::cat(&[keys, &k], 1)?, Tensor::cat(&[values, &v], 1)?),
        };
        let y = attend([&q, &k, &v], mask, self.heads, self.dropout, cx)?;
        let x = self.attention.output.run(&y, x, cx).within("attention.output")?;
        let dense = &self.intermediate.dense;
        let hidden = dense.forward_then(&x, self.act, cx).within("intermediate.dense")?;
        self.output.run(&hidden, &x, cx).within("output")
    }
}

#[derive(Clone, Debug)]
struct Encoder {
    layer: Vec<BertLayer>,
}
module!(Encoder { layer });

/// BERT (Devlin et al. 2019) with the names of Hugging Face's `BertModel`;
/// MiniLM is one. Its taps are `embeddings`, `encoder.layer.0` .. and
/// `features`.
#[derive(Clone, Debug)]
pub struct Bert {
    embeddings: Embeddings,
    encoder: Encoder,
    pooler: Option<Dense>,
    /// Trained vectors before the tokens; see [`add_prompt`](Self::add_prompt).
    pub prompt: Option<Prompt>,
    /// Trained keys and values; see [`add_prefix`](Self::add_prefix).
    pub prefix: Option<Prefix>,
    dropout: Dropout,
}
module!(Bert { embeddings, encoder, pooler, prompt, prefix; skip dropout });

impl Bert {
    /// A model with random weights: normal of deviation 0.02.
    ///
    /// # Errors
    /// A configuration that makes no sense or asks for what is not known here.
    pub fn new(config: &BertConfig, rng: &mut dyn RngCore) -> Result<Self> {
        let sizes = [config.vocab_size, config.max_position_embeddings, config.type_vocab_size];
        let d = config.hidden_size;
        check("Bert", d, config.num_attention_heads, &sizes)?;
        if config.position_embedding_type != "absolute" {
            let got = &config.position_embedding_type;
            return Err(Error::argument("Bert", "position_embedding_type", got, "absolute"));
        }
        let embeddings = Embeddings {
            word_embeddings: embedding(config.vocab_size, d, rng),
            position_embeddings: embedding(config.max_position_embeddings, d, rng),
            token_type_embeddings: embedding(config.type_vocab_size, d, rng),
            norm: LayerNorm::new(d).eps(config.layer_norm_eps),
        };
        let layer = (0..config.num_hidden_layers).map(|_| BertLayer::new(config, rng));
        Ok(Self {
            embeddings,
            encoder: Encoder { layer: layer.collect::<Result<_>>()? },
            pooler: Some(Dense { dense: linear(d, d, rng) }),
            prompt: None,
            prefix: None,
            dropout: Dropout::new(config.hidden_dropout_prob),
        })
    }

    /// A model with the weights of a safetensors file or of an
    /// `.index.json`; see [`load_pretrained`](crate::load_pretrained). Weights
    /// without a pooler give a model without one.
    ///
    /// # Errors
    /// The file cannot be read or does not fit.
    pub fn from_safetensors(config: &BertConfig, path: impl AsRef<Path>) -> Result<Self> {
        Self::from_state_dict(config, &StateDict::open(path)?)
    }

    /// As [`from_safetensors`](Self::from_safetensors), of a state dict.
    ///
    /// # Errors
    /// The weights do not fit.
    pub fn from_state_dict(config: &BertConfig, dict: &StateDict) -> Result<Self> {
        let mut model = Self::new(config, &mut ChaCha8Rng::seed_from_u64(0))?;
        if !weights::holds(&model, dict, "pooler.dense.weight") {
            model.pooler = None;
        }
        load(model, dict, None)
    }

    /// A model from a folder as the hub has it: `config.json` beside
    /// `model.safetensors` or `model.safetensors.index.json`.
    ///
    /// # Errors
    /// A file cannot be read or does not fit.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let config = BertConfig::open(folder.join("config.json"))?;
        let index = folder.join("model.safetensors.index.json");
        let one = folder.join("model.safetensors");
        Self::from_safetensors(&config, if index.exists() { index } else { one })
    }

    /// What BERT's own classifiers read: `tanh(W h_0 + b)` of the first
    /// token's vector `[n, d]`; the vector itself where there is no pooler.
    ///
    /// # Errors
    /// Those of [`hidden`](TextModel::hidden).
    pub fn pooled(&self, batch: &TextBatch, cx: &mut Ctx) -> Result<Tensor> {
        let first = self.run(batch, cx)?.select(1, 0)?;
        match &self.pooler {
            Some(pooler) => {
                pooler.dense.forward_with(&first, Activation::Tanh, cx).within("pooler")
            }
            None => Ok(first),
        }
    }

    /// Takes off the pooler, which a mean over the tokens does not use.
    pub fn remove_pooler(&mut self) {
        self.pooler = None;
    }

    /// Words, positions and width.
    pub(super) fn sizes(&self) -> [usize; 3] {
        let e = &self.embeddings;
        let [words, longest] =
            [&e.word_embeddings, &e.position_embeddings].map(|table| table.weight.dims()[0]);
        [words, longest, e.norm.weight.numel()]
    }

    pub(super) fn layers(&self) -> usize {
        self.encoder.layer.len()
    }

    pub(super) fn word_table(&self) -> &Tensor {
        self.embeddings.word_embeddings.weight.tensor()
    }

    fn embed(&self, batch: &TextBatch, cx: &mut Ctx) -> Result<Tensor> {
        let [n, l] = batch.dims()?;
        let e = &self.embeddings;
        let words = e.word_embeddings.forward(&batch.ids).within("word_embeddings")?;
        let (words, more) = match &self.prompt {
            None => (words, 0),
            Some(prompt) => {
                let vectors = prompt.embeddings.adapted()?;
                let [p, d] = [vectors.dims()[0], vectors.dims()[1]];
                let vectors = vectors.unsqueeze(0)?.broadcast_to([n, p, d])?;
                (Tensor::cat(&[&vectors, &words], 1)?, p)
            }
        };
        let l = l + more;
        let longest = e.position_embeddings.weight.dims()[0];
        if l > longest {
            let expected = format!("at most {longest} tokens; truncate");
            return Err(Error::argument("Bert", "sequence", format!("{l} tokens"), expected));
        }
        let types = match &batch.types {
            Some(types) if more > 0 => {
                let rows = types.as_slice().chunks_exact((l - more).max(1));
                let all = rows.flat_map(|row| vec![0; more].into_iter().chain(row.iter().copied()));
                Indices::from_vec(all.collect(), [n, l])?
            }
            Some(types) => types.clone(),
            None => constant(n, l, 0)?,
        };
        let types = e.token_type_embeddings.forward(&types).within("token_type_embeddings")?;
        let positions = e.position_embeddings.weight.adapted()?.narrow(0, 0, l)?;
        let x = words.add(&types)?.add(&positions)?;
        let x = e.norm.forward(&x, cx)?;
        self.dropout.forward(&x, cx)
    }

    /// The vectors of all places, those of a prompt first.
    fn run(&self, batch: &TextBatch, cx: &mut Ctx) -> Result<Tensor> {
        let mut x = cx.within("embeddings", |cx| self.embed(batch, cx))?;
        let (n, d) = (x.dims()[0], x.dims()[2]);
        let mut mask = match &self.prompt {
            None => batch.mask.clone(),
            Some(prompt) => extend_mask(&batch.mask, prompt.embeddings.dims()[0])?,
        };
        if let Some(prefix) = &self.prefix {
            mask = prefix.mask(&mask)?;
        }
        for (i, layer) in self.encoder.layer.iter().enumerate() {
            let before = self.prefix.as_ref().map(|p| p.layer(i, n, d)).transpose()?;
            x = cx.within(&format!("encoder.layer.{i}"), |cx| {
                layer.run(&x, &mask, before.as_ref(), cx)
            })?;
        }
        Ok(x)
    }
}

impl TextModel for Bert {
    fn hidden(&self, batch: &TextBatch, cx: &mut Ctx) -> Result<Tensor> {
        let x = self.run(batch, cx)?;
        match &self.prompt {
            None => Ok(x),
            Some(prompt) => {
                let p = prompt.embeddings.dims()[0];
                Ok(x.narrow(1, p, x.dims()[1] - p)?)
            }
        }
    }

    fn feature_size(&self) -> usize {
        self.embeddings.norm.weight.numel()
    }
}
