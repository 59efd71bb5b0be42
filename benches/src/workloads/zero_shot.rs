//! Zero-shot learning, and sentences to vectors.

use super::Workload;
use crate::{
    Outcome,
    fill::{classes, numbers},
};
use std::path::Path;
use tl_models::SentenceEmbedder;
use tl_zeroshot::{Eszsl, Method, Seen, Signatures, TextClassifier};

/// The closed form on a set of CUB's size.
pub(super) const ESZSL: Workload = Workload {
    name: "eszsl",
    about: "ESZSL on 11,788 x 2,048 features, 312 attributes, 200 classes, in double precision",
    peers: &["numpy"],
    setup: || {
        let features = numbers(1, [11_788, 2048]);
        let names: Vec<String> = (0..200).map(|i| i.to_string()).collect();
        let signatures = Signatures::new(names, numbers(2, [200, 312]))?;
        let labels = classes(11_788, 200).as_slice().to_vec();
        let few = features.narrow(0, 0, 256)?.contiguous();
        let table = signatures.table().clone();
        let seen = Seen::new(features, labels, signatures)?;
        let method = Eszsl { gamma: 100.0, lambda: 10.0 };
        Ok(Box::new(move || Ok(method.fit(&seen)?.scores(&few, &table)?)))
    },
    ..Workload::DEFAULT
};

const WORDS: [&str; 21] = [
    "a", "small", "bird", "with", "red", "wings", "sits", "on", "the", "old", "garden", "wall",
    "and", "sings", "until", "evening", "rain", "falls", "over", "quiet", "streets",
];

/// Sentences of 4 to 60 words.
fn sentences() -> Vec<String> {
    let of = |i: usize| (0..4 + i * 37 % 57).map(move |k| WORDS[(i * 5 + k * 11) % WORDS.len()]);
    (0..128).map(|i| of(i).collect::<Vec<_>>().join(" ")).collect()
}

/// 200 names of classes, of two words each.
fn labels() -> Vec<String> {
    let word = |i: usize| WORDS[i % WORDS.len()];
    (0..200).map(|i| format!("{} {}", word(i), word(i / WORDS.len() + i + 1))).collect()
}

fn mini_lm() -> Outcome<SentenceEmbedder> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/models/all-MiniLM-L6-v2");
    if !folder.exists() {
        return Err("no weights: run tools/fetch-models".into());
    }
    Ok(SentenceEmbedder::from_folder(folder)?)
}

/// Sentences to vectors with all-MiniLM-L6-v2.
pub(super) const SENTENCES: Workload = Workload {
    name: "sentence_embedding",
    about: "all-MiniLM-L6-v2 on 128 sentences of 4 to 60 words, tokenizer included",
    peers: &["sentence_transformers", "torch"],
    setup: || {
        let (embedder, texts) = (mini_lm()?, sentences());
        Ok(Box::new(move || Ok(embedder.embed(&texts)?)))
    },
    ..Workload::DEFAULT
};

/// Texts to classes that are known by their names.
pub(super) const TEXTS: Workload = Workload {
    name: "zeroshot_text",
    about: "128 sentences sorted into 200 named classes by all-MiniLM-L6-v2; class vectors (two \
            templates) are made before",
    peers: &["sentence_transformers", "torch"],
    setup: || {
        let (embedder, texts, labels) = (mini_lm()?, sentences(), labels());
        let names: Vec<&str> = labels.iter().map(String::as_str).collect();
        let embed = move |texts: &[&str]| embedder.embed(texts);
        let classifier =
            TextClassifier::new(embed, &names, &["a text about {}", "this is about {}"])?;
        Ok(Box::new(move || {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            Ok(classifier.scores(&texts)?)
        }))
    },
    ..Workload::DEFAULT
};
