//! Tokens in, vectors out.

use tl_nn::{Ctx, Error, Indices, Module, Result, Tensor};

/// Token sequences of a batch, padded to one length.
#[derive(Clone, Debug)]
pub struct TextBatch {
    /// Token ids `[n, l]`.
    pub ids: Indices,
    /// 1 at tokens, 0 at padding: `[n, l]`.
    pub mask: Tensor,
    /// Segment ids `[n, l]`, 0 everywhere where none are given.
    pub types: Option<Indices>,
}

impl TextBatch {
    /// Sequences, padded with `pad` to the longest.
    ///
    /// ```
    /// let batch = tl_models::TextBatch::padded(&[vec![5, 6, 7], vec![8]], 0)?;
    /// assert_eq!(batch.ids.as_slice(), [5, 6, 7, 8, 0, 0]);
    /// assert_eq!(batch.mask.to_vec(), [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
    /// # Ok::<(), tl_nn::Error>(())
    /// ```
    ///
    /// # Errors
    /// No sequence, or one without tokens.
    pub fn padded<S: AsRef<[usize]>>(sequences: &[S], pad: usize) -> Result<Self> {
        let longest = sequences.iter().map(|s| s.as_ref().len()).max().unwrap_or(0);
        if let Some(at) = sequences.iter().position(|s| s.as_ref().is_empty()) {
            let got = format!("an empty one at place {at}");
            return Err(Error::argument(
                "TextBatch",
                "sequences",
                got,
                "at least one token in each",
            ));
        }
        if longest == 0 {
            return Err(Error::argument("TextBatch", "sequences", "none", "at least one"));
        }
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        for sequence in sequences {
            let sequence = sequence.as_ref();
            ids.extend(
                sequence.iter().copied().chain(std::iter::repeat_n(pad, longest - sequence.len())),
            );
            mask.extend((0..longest).map(|i| if i < sequence.len() { 1.0 } else { 0.0 }));
        }
        let shape = [sequences.len(), longest];
        Ok(Self {
            ids: Indices::from_vec(ids, shape)?,
            mask: Tensor::from_vec(mask, shape)?,
            types: None,
        })
    }

    /// The number of sequences and their padded length.
    pub(crate) fn dims(&self) -> Result<[usize; 2]> {
        match (self.ids.dims(), self.mask.dims()) {
            (&[n, l], mask) if mask == [n, l] => Ok([n, l]),
            (ids, mask) => {
                let got = format!("ids {ids:?} and mask {mask:?}");
                Err(Error::argument("TextBatch", "ids", got, "two of one shape [n, l]"))
            }
        }
    }
}

/// An encoder of text.
pub trait TextModel: Module {
    /// The vectors of all tokens, `[n, l, d]`.
    ///
    /// # Errors
    /// A token that the table does not have, a sequence that is too long.
    fn hidden(&self, batch: &TextBatch, cx: &mut Ctx) -> Result<Tensor>;

    /// d.
    fn feature_size(&self) -> usize;

    /// The mean over the tokens, `[n, d]`: see [`mean_pooling`]. It is also a
    /// tap named `features`.
    ///
    /// # Errors
    /// Those of [`hidden`](Self::hidden).
    fn features(&self, batch: &TextBatch, cx: &mut Ctx) -> Result<Tensor> {
        let pooled = mean_pooling(&self.hidden(batch, cx)?, &batch.mask)?;
        cx.tap("features", &pooled);
        Ok(pooled)
    }
}

/// The mean of the vectors `[n, l, d]` over the places where `mask` `[n, l]`
/// is 1; the count is at least 1e-9, as in sentence-transformers.
///
/// # Errors
/// Shapes that do not fit.
pub fn mean_pooling(hidden: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let count = mask.sum(-1, true)?.clamp(1e-9, f32::INFINITY);
    Ok(hidden.mul(&mask.unsqueeze(-1)?)?.sum(1, false)?.div(&count)?)
}
