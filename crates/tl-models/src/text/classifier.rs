//! BERT with a classifier.

use super::{Bert, BertConfig, TextBatch, linear, load};
use crate::weights;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use tl_nn::{Ctx, Dropout, Forward, Linear, Result, StateDict, Tensor, module};

/// [`Bert`] and an affine layer on its pooled vector, with the names of
/// Hugging Face's `BertForSequenceClassification`.
#[derive(Clone, Debug)]
pub struct BertForSequenceClassification {
    /// The encoder.
    pub bert: Bert,
    /// The head.
    pub classifier: Linear,
    /// Before the head, in training.
    pub dropout: Dropout,
}
module!(BertForSequenceClassification { bert, classifier; skip dropout });

impl BertForSequenceClassification {
    /// A model with random weights.
    ///
    /// # Errors
    /// A configuration that makes no sense.
    pub fn new(config: &BertConfig, classes: usize, rng: &mut dyn RngCore) -> Result<Self> {
        Ok(Self {
            bert: Bert::new(config, rng)?,
            classifier: linear(config.hidden_size, classes, rng),
            dropout: Dropout::new(config.hidden_dropout_prob),
        })
    }

    /// An encoder and a new head.
    pub fn with_encoder(bert: Bert, classes: usize, rng: &mut dyn RngCore) -> Self {
        use super::TextModel;
        let classifier = linear(bert.feature_size(), classes, rng);
        Self { bert, classifier, dropout: Dropout::new(0.1) }
    }

    /// A model with the weights of a safetensors file. It may be that of a
    /// classifier of as many classes, or of an encoder with a pooler (the head
    /// is random then, the same every time).
    ///
    /// # Errors
    /// The file cannot be read or does not fit.
    pub fn from_safetensors(
        config: &BertConfig,
        classes: usize,
        path: impl AsRef<Path>,
    ) -> Result<Self> {
        let dict = StateDict::open(path)?;
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let model = Self::new(config, classes, &mut rng)?;
        if weights::holds(&model, &dict, "bert.embeddings.word_embeddings.weight") {
            return load(model, &dict, Some("classifier"));
        }
        Ok(Self { bert: Bert::from_state_dict(config, &dict)?, ..model })
    }

    /// The logits `[n, classes]`.
    ///
    /// # Errors
    /// Those of [`Bert::pooled`].
    pub fn logits(&self, batch: &TextBatch, cx: &mut Ctx) -> Result<Tensor> {
        let pooled = self.bert.pooled(batch, cx)?;
        let pooled = self.dropout.forward(&pooled, cx)?;
        cx.within("classifier", |cx| self.classifier.forward(&pooled, cx))
    }
}
