//! Texts by the vectors of a pre-trained sentence encoder.

use crate::shared::Outcome;
use serde::Deserialize;
use std::path::Path;
use transfer_learning::{
    models::{Bert, BertConfig, SentenceEmbedder, WordPiece},
    nn::StateDict,
    prelude::*,
};

/// An encoder with all that it takes to make it again.
pub struct Sentences {
    embedder: SentenceEmbedder,
    config: BertConfig,
    vocabulary: String,
    uncased: bool,
}

#[derive(Deserialize)]
struct TokenizerConfig {
    do_lower_case: bool,
}

impl Sentences {
    /// From a folder as `tools/fetch-models` leaves it.
    pub fn from_folder(folder: &Path) -> Outcome<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
        };
        let tokenizer: TokenizerConfig = serde_json::from_str(&read("tokenizer_config.json")?)?;
        Ok(Self {
            embedder: SentenceEmbedder::from_folder(folder)?,
            config: BertConfig::open(folder.join("config.json"))?,
            vocabulary: read("vocab.txt")?,
            uncased: tokenizer.do_lower_case,
        })
    }

    /// `[n, d]`, each of length 1.
    pub fn features(&self, texts: &[&str]) -> Outcome<Tensor> {
        Ok(self.embedder.embed(texts)?)
    }

    /// Adds the encoder, so that one file is enough to answer.
    pub fn save(&self, dict: &mut StateDict) -> Outcome {
        dict.add_part("bert", self.embedder.model.state_dict());
        for (key, value) in [
            ("config", serde_json::to_string(&self.config)?),
            ("vocabulary", self.vocabulary.clone()),
            ("uncased", self.uncased.to_string()),
            ("max_tokens", self.embedder.max_tokens.to_string()),
        ] {
            dict.metadata_mut().insert(key.to_owned(), value);
        }
        Ok(())
    }

    /// What was saved.
    pub fn open(dict: &StateDict) -> Outcome<Self> {
        let entry =
            |key: &str| dict.metadata().get(key).ok_or_else(|| format!("the file has no `{key}`"));
        let config: BertConfig = serde_json::from_str(entry("config")?)?;
        let vocabulary = entry("vocabulary")?.clone();
        let uncased: bool = entry("uncased")?.parse()?;
        let embedder = SentenceEmbedder {
            model: Bert::from_state_dict(&config, &dict.part("bert"))?,
            tokenizer: WordPiece::new(vocabulary.lines().map(str::to_owned), uncased)?,
            max_tokens: entry("max_tokens")?.parse()?,
            batch: 32,
            normalise: true,
        };
        Ok(Self { embedder, config, vocabulary, uncased })
    }
}
