//! Sentences to vectors.

use super::{Bert, BertConfig, TextBatch, TextModel, WordPiece, read_config};
use serde::Deserialize;
use std::path::Path;
use tl_nn::{Ctx, ModuleExt, Result, Tensor};

/// Sentences to vectors, as sentence-transformers does with all-MiniLM-L6-v2:
/// tokens, [`Bert`], the mean over the tokens, length 1 (Reimers and Gurevych
/// 2019). The inner product of two vectors is then their cosine.
///
/// ```no_run
/// use tl_models::SentenceEmbedder;
/// # fn main() -> tl_nn::Result<()> {
/// let embedder = SentenceEmbedder::from_folder("target/models/all-MiniLM-L6-v2")?;
/// let vectors = embedder.embed(&["A man is eating food.", "Stock prices fell."])?;
/// assert_eq!(vectors.dims(), [2, 384]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SentenceEmbedder {
    /// The encoder.
    pub model: Bert,
    /// The tokenizer.
    pub tokenizer: WordPiece,
    /// Longer texts are cut to this many tokens.
    pub max_tokens: usize,
    /// Sentences at a time. Default 32.
    pub batch: usize,
    /// Whether vectors get length 1. Default yes.
    pub normalise: bool,
}

#[derive(Deserialize)]
struct SentenceConfig {
    max_seq_length: usize,
}

#[derive(Deserialize)]
struct TokenizerConfig {
    #[serde(default = "yes")]
    do_lower_case: bool,
}

fn yes() -> bool {
    true
}

impl SentenceEmbedder {
    /// From a folder as the hub has it: `config.json`, `vocab.txt`,
    /// `model.safetensors`, and, where they are there,
    /// `tokenizer_config.json` and `sentence_bert_config.json`.
    ///
    /// # Errors
    /// A file cannot be read or does not fit.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let config = BertConfig::open(folder.join("config.json"))?;
        let mut max_tokens = config.max_position_embeddings;
        let sentence = folder.join("sentence_bert_config.json");
        if sentence.exists() {
            max_tokens = read_config::<SentenceConfig>(&sentence)?.max_seq_length.min(max_tokens);
        }
        let tokenizer = folder.join("tokenizer_config.json");
        let uncased =
            !tokenizer.exists() || read_config::<TokenizerConfig>(&tokenizer)?.do_lower_case;
        Ok(Self {
            model: Bert::from_folder(folder)?,
            tokenizer: WordPiece::open(folder.join("vocab.txt"), uncased)?,
            max_tokens,
            batch: 32,
            normalise: true,
        })
    }

    /// The vectors `[n, d]` of texts, in their order. Texts of like length
    /// share a batch, so that little is spent on padding.
    ///
    /// # Errors
    /// No text.
    pub fn embed<S: AsRef<str>>(&self, texts: &[S]) -> Result<Tensor> {
        let tokens: Vec<Vec<usize>> =
            texts.iter().map(|t| self.tokenizer.encode(t.as_ref(), self.max_tokens)).collect();
        let mut order: Vec<usize> = (0..tokens.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(tokens[i].len()));
        let width = self.model.feature_size();
        let mut all = vec![0.0; tokens.len() * width];
        let model = self.model.frozen();
        for places in order.chunks(self.batch.max(1)) {
            let batch: Vec<&Vec<usize>> = places.iter().map(|&i| &tokens[i]).collect();
            let batch = TextBatch::padded(&batch, self.tokenizer.pad_id())?;
            let vectors = model.features(&batch, &mut Ctx::eval())?.to_vec();
            for (&place, vector) in places.iter().zip(vectors.chunks_exact(width)) {
                let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
                let scale = if self.normalise { 1.0 / length } else { 1.0 };
                let slot = &mut all[place * width..(place + 1) * width];
                slot.iter_mut().zip(vector).for_each(|(to, x)| *to = x * scale);
            }
        }
        Ok(Tensor::from_vec(all, [tokens.len(), width])?)
    }
}
