//! Token ids as tensors, and a classifier on the mean of a text's vectors.

use super::{Bert, TextBatch, TextModel, linear};
use rand::RngCore;
use tl_nn::{Ctx, Dropout, Error, Forward, Indices, Linear, Result, Tensor, module};

impl TextBatch {
    /// Sequences as rows of one tensor `[n, l]`, padded with `pad`: a data set
    /// of texts like any other. Single precision holds ids up to 2²⁴ exactly.
    ///
    /// ```
    /// use tl_models::TextBatch;
    /// let ids = TextBatch::to_tensor(&[vec![5, 6, 7], vec![8]], 0)?;
    /// assert_eq!(ids.to_vec(), [5.0, 6.0, 7.0, 8.0, 0.0, 0.0]);
    /// assert_eq!(TextBatch::from_tensor(&ids, 0)?.ids.as_slice(), [5, 6, 7, 8, 0, 0]);
    /// # Ok::<(), tl_nn::Error>(())
    /// ```
    ///
    /// # Errors
    /// No sequence, or one without tokens.
    pub fn to_tensor<S: AsRef<[usize]>>(sequences: &[S], pad: usize) -> Result<Tensor> {
        let batch = Self::padded(sequences, pad)?;
        let ids = batch.ids.as_slice().iter().map(|&i| i as f32).collect();
        Ok(Tensor::from_vec(ids, *batch.ids.shape())?)
    }

    /// The sequences of [`to_tensor`](Self::to_tensor), with the columns cut off
    /// that are padding in all of them: a batch costs what its longest text does.
    ///
    /// # Errors
    /// Not a matrix of whole numbers from 0; a row that is all padding.
    pub fn from_tensor(ids: &Tensor, pad: usize) -> Result<Self> {
        let &[n, l] = ids.dims() else {
            let got = format!("{:?}", ids.dims());
            return Err(Error::argument("TextBatch", "ids", got, "token ids [n, l]"));
        };
        let mut rows = Vec::with_capacity(n);
        for row in ids.to_vec().chunks_exact(l.max(1)) {
            let mut tokens = Vec::with_capacity(l);
            for &id in row {
                if !(0.0..16_777_216.0).contains(&id) || id.fract() != 0.0 {
                    let expected = "whole numbers from 0 to below 2^24";
                    return Err(Error::argument("TextBatch", "ids", id, expected));
                }
                tokens.push(id as usize);
            }
            while tokens.last() == Some(&pad) {
                tokens.pop();
            }
            rows.push(tokens);
        }
        Self::padded(&rows, pad)
    }
}

/// A text classifier: [`Bert`], the mean over the tokens, dropout, an affine
/// layer. It takes token ids as [`TextBatch::to_tensor`] gives them, so texts train
/// like images: with any loop, probe or adapter of this workspace.
///
/// Its taps are those of the encoder under `bert` and `features`.
#[derive(Clone, Debug)]
pub struct SentenceClassifier {
    /// The encoder.
    pub bert: Bert,
    /// The head.
    pub classifier: Linear,
    /// Before the head, in training.
    pub dropout: Dropout,
    /// The token for padding.
    pub pad: usize,
}
module!(SentenceClassifier { bert, classifier; skip dropout, pad });

impl SentenceClassifier {
    /// An encoder and a new head, without dropout before it. A pooler, which the
    /// mean does not use, is taken off.
    pub fn new(mut bert: Bert, classes: usize, pad: usize, rng: &mut dyn RngCore) -> Self {
        bert.remove_pooler();
        let classifier = linear(bert.feature_size(), classes, rng);
        Self { bert, classifier, dropout: Dropout::new(0.0), pad }
    }

    /// The mean of the vectors of a text's tokens, `[n, d]`.
    ///
    /// # Errors
    /// Ids that the table does not have; a sequence that is too long.
    pub fn features(&self, ids: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let batch = TextBatch::from_tensor(ids, self.pad)?;
        self.bert.features(&batch, cx)
    }
}

impl Forward for SentenceClassifier {
    fn forward(&self, ids: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let pooled = self.features(ids, cx)?;
        let pooled = self.dropout.forward(&pooled, cx)?;
        cx.within("classifier", |cx| self.classifier.forward(&pooled, cx))
    }
}

/// Token ids, padded with 0, to the logits of [`logits`](Self::logits).
impl Forward for super::BertForSequenceClassification {
    fn forward(&self, ids: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        self.logits(&TextBatch::from_tensor(ids, 0)?, cx)
    }
}

/// The mask `[n, l]` with places that count before it.
pub(super) fn extend_mask(mask: &Tensor, by: usize) -> Result<Tensor> {
    let ones = Tensor::ones([mask.size(0)?, by]);
    Ok(Tensor::cat(&[&ones, mask], 1)?)
}

/// Whole numbers of one value, `[n, l]`.
pub(super) fn constant(n: usize, l: usize, value: usize) -> Result<Indices> {
    Ok(Indices::from_vec(vec![value; n * l], [n, l])?)
}
