//! A small transformer that has learned other kinds of nouns.

use super::{
    adapt::{Encoder, Tokens, words_of},
    shared::Outcome,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use transfer_learning::{
    data::samples,
    finetune::{FineTune, Method},
    models::{Bert, BertConfig},
};

/// Two layers of 64 with whole words, trained on the eight kinds that are learned
/// first. The words are those that occur twice or more in the training texts.
pub fn pretrained(quick: bool) -> Outcome<Encoder> {
    let [first, train, _] = samples::definitions();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for word in first.texts.iter().chain(&train.texts).flat_map(|t| words_of(t)) {
        *counts.entry(word).or_default() += 1;
    }
    // 0 is padding, 1 a word that is not here, 2 the beginning.
    let known = counts.into_iter().filter(|(_, n)| *n > 1).map(|(word, _)| word);
    let words: std::collections::HashMap<String, usize> = known.zip(3..).collect();
    let config = BertConfig {
        vocab_size: words.len() + 3,
        hidden_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        intermediate_size: 128,
        max_position_embeddings: 64,
        ..BertConfig::default()
    };
    let rng = &mut ChaCha8Rng::seed_from_u64(2026);
    let bert = Bert::new(&config, rng)?;
    let mut encoder = Encoder { bert, config, tokens: Tokens::Words(words) };
    let pairs: Vec<(String, usize)> = first.texts.into_iter().zip(first.labels).collect();
    let data = encoder.dataset(&pairs, &first.class_names, 32)?;
    let mut model = encoder.classifier(&encoder.bert, data.classes(), rng);
    let tune = FineTune::new(Method::Full { body_rate: 1.0 }, "classifier.**");
    let epochs = if quick { 1 } else { 12 };
    tune.epochs(epochs).lr(1e-3).seed(2026).fit(&mut model, &data)?;
    encoder.bert = model.bert;
    Ok(encoder)
}
