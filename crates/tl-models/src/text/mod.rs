//! Encoders of text, with the names of Hugging Face.

mod batch;
mod bert;
mod classifier;
mod distilbert;
mod prompt;
#[cfg(feature = "tokenizer")]
mod sentence;
mod sentence_classifier;
#[cfg(feature = "tokenizer")]
mod wordpiece;

pub use batch::{TextBatch, TextModel, mean_pooling};
pub use bert::{Bert, BertConfig};
pub use classifier::BertForSequenceClassification;
pub use distilbert::{DistilBert, DistilBertConfig};
pub use prompt::{Prefix, Prompt};
#[cfg(feature = "tokenizer")]
pub use sentence::SentenceEmbedder;
pub use sentence_classifier::SentenceClassifier;
#[cfg(feature = "tokenizer")]
pub use wordpiece::WordPiece;

use rand::RngCore;
use serde::de::DeserializeOwned;
use std::path::Path;
use tl_nn::{
    Act, Ctx, Dropout, Embedding, Error, Forward, LayerNorm, Linear, Module, Param, Result, Tensor,
    Within, init::normal, module,
};
use tl_tensor::Attention;

/// Reads a `config.json`. Fields that this crate does not use are skipped:
/// the file is the home's, not ours.
fn read_config<C: DeserializeOwned>(path: &Path) -> Result<C> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Io { path: path.to_owned(), source })?;
    serde_json::from_str(&text).map_err(|e| Error::Format {
        path: path.to_owned(),
        problem: format!("{e}; expected the `config.json` of the model"),
    })
}

/// The function that a `config.json` names.
fn activation(name: &str) -> Result<Act> {
    Ok(match name {
        "gelu" => Act::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" => Act::GeluTanh,
        "relu" => Act::Relu,
        "silu" | "swish" => Act::Silu,
        other => {
            return Err(Error::argument(
                "config",
                "activation",
                other,
                "gelu, gelu_new, relu or silu",
            ));
        }
    })
}

/// BERT's initial values: normal of deviation 0.02, biases 0.
fn linear(inputs: usize, outputs: usize, rng: &mut dyn RngCore) -> Linear {
    Linear {
        weight: Param::new(normal([outputs, inputs], 0.0, 0.02, rng)),
        bias: Some(Param::new(Tensor::zeros(outputs))),
    }
}

fn embedding(count: usize, size: usize, rng: &mut dyn RngCore) -> Embedding {
    let mut table = Embedding::new(1, 1, rng);
    table.weight = Param::new(normal([count, size], 0.0, 0.02, rng));
    table
}

/// `dense`, dropout, then normalisation of the sum with what came before.
#[derive(Clone, Debug)]
struct AddNorm {
    dense: Linear,
    norm: LayerNorm,
    dropout: Dropout,
}
module!(AddNorm { dense, norm as "LayerNorm"; skip dropout });

impl AddNorm {
    fn run(&self, x: &Tensor, before: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let y = self.dense.forward(x, cx).within("dense")?;
        self.norm.forward(&self.dropout.forward(&y, cx)?.add(before)?, cx)
    }
}

/// Attention of projected queries, keys and values `[n, l, d]`, where `keys`
/// `[n, l]` is 0 at padding.
fn attend(
    qkv: [&Tensor; 3],
    keys: &Tensor,
    heads: usize,
    dropout: f64,
    cx: &mut Ctx,
) -> Result<Tensor> {
    let mut attention = Attention::new().keep(keys.unsqueeze(1)?.unsqueeze(1)?);
    if cx.is_train() {
        attention = attention.dropout(dropout, cx.rng())?;
    }
    let [q, k, v] = qkv;
    Ok(attention.forward_heads(q, k, v, heads)?)
}

/// That heads divide the width and that nothing is 0.
fn check(what: &'static str, width: usize, heads: usize, sizes: &[usize]) -> Result<()> {
    if heads == 0 || !width.is_multiple_of(heads) || width == 0 || sizes.contains(&0) {
        let got = format!("width {width}, heads {heads}, other sizes {sizes:?}");
        return Err(Error::argument(
            what,
            "config",
            got,
            "heads that divide the width, sizes above 0",
        ));
    }
    Ok(())
}

/// Loads what a checkpoint has, with `head` left alone where it has none.
fn load<M: Module>(mut model: M, dict: &tl_nn::StateDict, head: Option<&str>) -> Result<M> {
    drop(crate::load_pretrained(&mut model, dict, head)?);
    Ok(model)
}
