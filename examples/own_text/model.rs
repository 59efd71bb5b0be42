//! What is saved: a way from text to numbers, and a head.

use crate::{sentences::Sentences, shared::Outcome, words::Words};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use transfer_learning::{
    data::Dataset,
    finetune::Probe,
    nn::{Linear, Load, StateDict},
    prelude::*,
};

/// As the table and the file call the ways.
pub const WORDS: &str = "words";
/// See [`WORDS`].
pub const SENTENCES: &str = "sentence vectors";

/// Rows of length 1 want weak penalties.
const STRENGTHS: [f64; 3] = [1.0, 10.0, 100.0];

/// From texts to a matrix.
pub enum Encoder {
    /// Learned from the training texts.
    Words(Words),
    /// Pre-trained.
    Sentences(Box<Sentences>),
}

impl Encoder {
    /// `[n, d]`.
    pub fn features(&self, texts: &[&str]) -> Outcome<Tensor> {
        match self {
            Self::Words(words) => words.features(texts),
            Self::Sentences(sentences) => sentences.features(texts),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Words(_) => WORDS,
            Self::Sentences(_) => SENTENCES,
        }
    }
}

/// A logistic head on features, with one strength of the penalty chosen by
/// cross-validation on the training part.
pub fn head(features: &Dataset, seed: u64) -> Outcome<Linear> {
    let fit = Probe::Logistic { c: STRENGTHS.to_vec() }.fit(features, seed)?;
    Ok(fit.head().ok_or("a logistic probe is a layer")?.clone())
}

/// A trained classifier of texts.
pub struct Trained {
    /// From texts to numbers.
    pub encoder: Encoder,
    /// From numbers to logits.
    pub head: Linear,
    /// The names of the classes.
    pub classes: Vec<String>,
}

impl Trained {
    /// Logits of one text.
    pub fn logits(&self, text: &str) -> Outcome<Vec<f32>> {
        let features = self.encoder.features(&[text])?;
        Ok(self.head.forward(&features, &mut Ctx::eval())?.to_vec())
    }

    /// One safetensors file: the encoder, the head, names.
    pub fn save(&self, path: &Path) -> Outcome {
        let mut dict = StateDict::new();
        dict.add_part("head", self.head.state_dict());
        match &self.encoder {
            Encoder::Words(words) => words.save(&mut dict)?,
            Encoder::Sentences(sentences) => sentences.save(&mut dict)?,
        }
        let metadata = dict.metadata_mut();
        metadata.insert("encoder".to_owned(), self.encoder.name().to_owned());
        metadata.insert("classes".to_owned(), serde_json::to_string(&self.classes)?);
        Ok(dict.save(path)?)
    }

    /// What [`save`](Self::save) wrote.
    pub fn open(path: &Path) -> Outcome<Self> {
        let dict = StateDict::open(path)?;
        let entry = |key: &str| {
            let problem = || format!("{}: no `{key}`; was it saved by this?", path.display());
            dict.metadata().get(key).ok_or_else(problem)
        };
        let encoder = match entry("encoder")?.as_str() {
            WORDS => Encoder::Words(Words::open(&dict)?),
            SENTENCES => Encoder::Sentences(Box::new(Sentences::open(&dict)?)),
            other => return Err(format!("{}: no encoder `{other}`", path.display()).into()),
        };
        let classes: Vec<String> = serde_json::from_str(entry("classes")?)?;
        let width = encoder.features(&["a"])?.size(1)?;
        let mut head = Linear::new(width, classes.len(), &mut ChaCha8Rng::seed_from_u64(0));
        // Strict: whatever is missing or of another shape is an error.
        let _report = head.load(&dict.part("head"), &Load::strict())?;
        Ok(Self { encoder, head, classes })
    }
}
