//! Masked words.

use crate::{Error, Result};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_nn::Indices;

/// BERT's masking (Devlin et al. 2019, section 3.1): a part of the tokens is
/// chosen; of these 80 % become the mask, 10 % a random token, 10 % stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskTokens {
    /// The part that is chosen. The paper has 0.15.
    pub part: f64,
    /// The mask's number in the vocabulary.
    pub mask: usize,
    /// Random tokens are below this.
    pub vocabulary: usize,
    /// Never chosen: padding, beginning and end.
    pub special: Vec<usize>,
}

/// What [`MaskTokens`] gives.
#[derive(Clone, Debug)]
pub struct MaskedTokens {
    /// The changed tokens, of the shape of the given ones.
    pub tokens: Indices,
    /// The places that were chosen, in the flattened tokens.
    pub places: Indices,
    /// What stood there: the classes that are to be predicted.
    pub targets: Indices,
}

impl MaskTokens {
    /// The paper's 15 %, for a vocabulary and its mask.
    pub fn new(vocabulary: usize, mask: usize, special: impl Into<Vec<usize>>) -> Self {
        Self { part: 0.15, mask, vocabulary, special: special.into() }
    }

    /// Chooses and changes tokens of any shape. At least one is chosen if there
    /// is one that may be.
    ///
    /// The loss is the cross entropy of the logits at `places`:
    /// `logits.flatten(0, 1)?.index_select(0, &masked.places)?` against
    /// `masked.targets`.
    ///
    /// # Errors
    /// A part not in 0 to 1; a mask or a token outside the vocabulary; nothing
    /// that may be chosen.
    pub fn apply(&self, tokens: &Indices, rng: &mut ChaCha8Rng) -> Result<MaskedTokens> {
        let wrong = |name, got: String, expected: &str| {
            Err(Error::argument("mask tokens", name, got, expected))
        };
        if !(0.0..=1.0).contains(&self.part) {
            return wrong("part", self.part.to_string(), "0 to 1");
        }
        let outside = |t: &&usize| **t >= self.vocabulary;
        if let Some(t) = tokens.as_slice().iter().chain([&self.mask]).find(outside) {
            return wrong("token", t.to_string(), "a number below the vocabulary's size");
        }
        let mut changed = tokens.as_slice().to_vec();
        let free: Vec<usize> =
            (0..changed.len()).filter(|&i| !self.special.contains(&changed[i])).collect();
        if free.is_empty() {
            return wrong("tokens", "special ones only".to_owned(), "a token that may be chosen");
        }
        let mut places: Vec<usize> =
            free.iter().copied().filter(|_| rng.random_bool(self.part)).collect();
        if places.is_empty() {
            places.push(free[rng.random_range(0..free.len())]);
        }
        let targets: Vec<usize> = places.iter().map(|&i| changed[i]).collect();
        for &i in &places {
            match rng.random_range(0..10) {
                0..8 => changed[i] = self.mask,
                8 => changed[i] = rng.random_range(0..self.vocabulary),
                _ => {}
            }
        }
        Ok(MaskedTokens {
            tokens: Indices::from_vec(changed, *tokens.shape())?,
            places: places.into(),
            targets: targets.into(),
        })
    }
}
