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
    /// Sentences that a thread takes at a time. Default 8.
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
            batch: 8,
            normalise: true,
        })
    }

    /// The vectors `[n, d]` of texts, in their order. Texts of like length
    /// share a batch, so that little is spent on padding; threads take batches.
    ///
    /// # Errors
    /// No text.
    pub fn embed<S: AsRef<str>>(&self, texts: &[S]) -> Result<Tensor> {
        let tokens: Vec<Vec<usize>> =
            texts.iter().map(|t| self.tokenizer.encode(t.as_ref(), self.max_tokens)).collect();
        let mut order: Vec<usize> = (0..tokens.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(tokens[i].len()));
        let width = self.model.feature_size();
        let model = self.model.frozen();
        let vectors = |places: &[usize]| -> Result<Vec<f32>> {
            let batch: Vec<&Vec<usize>> = places.iter().map(|&i| &tokens[i]).collect();
            let batch = TextBatch::padded(&batch, self.tokenizer.pad_id())?;
            let mut vectors = model.features(&batch, &mut Ctx::eval())?.to_vec();
            if self.normalise {
                vectors.chunks_exact_mut(width).for_each(to_length_one);
            }
            Ok(vectors)
        };
        let batches = order.chunks(self.batch.max(1));
        let done = map(batches.collect(), vectors);
        let mut all = vec![0.0; tokens.len() * width];
        let mut places = order.iter();
        for vectors in done {
            for (vector, &place) in vectors?.chunks_exact(width).zip(places.by_ref()) {
                all[place * width..][..width].copy_from_slice(vector);
            }
        }
        Ok(Tensor::from_vec(all, [tokens.len(), width])?)
    }
}

fn to_length_one(vector: &mut [f32]) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
    vector.iter_mut().for_each(|x| *x *= 1.0 / length);
}

/// `f` of every batch, in their order.
fn map<R: Send>(batches: Vec<&[usize]>, f: impl Fn(&[usize]) -> R + Send + Sync) -> Vec<R> {
    #[cfg(feature = "rayon")]
    {
        use rayon::prelude::*;
        batches.into_par_iter().with_max_len(1).map(f).collect()
    }
    #[cfg(not(feature = "rayon"))]
    {
        batches.into_iter().map(f).collect()
    }
}
