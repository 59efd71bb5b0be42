//! Zero-shot learning, and sentences to vectors.

use super::Workload;
use crate::fill::{classes, numbers};
use std::path::Path;
use tl_models::SentenceEmbedder;
use tl_zeroshot::{Eszsl, Method, Seen, Signatures};

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

/// Sentences of 4 to 60 words.
fn sentences() -> Vec<String> {
    let words = [
        "a", "small", "bird", "with", "red", "wings", "sits", "on", "the", "old", "garden", "wall",
        "and", "sings", "until", "evening", "rain", "falls", "over", "quiet", "streets",
    ];
    let of = |i: usize| (0..4 + i * 37 % 57).map(move |k| words[(i * 5 + k * 11) % words.len()]);
    (0..128).map(|i| of(i).collect::<Vec<_>>().join(" ")).collect()
}

/// Sentences to vectors with all-MiniLM-L6-v2.
pub(super) const SENTENCES: Workload = Workload {
    name: "sentence_embedding",
    about: "all-MiniLM-L6-v2 on 128 sentences of 4 to 60 words, tokenizer included",
    peers: &["sentence_transformers", "torch"],
    setup: || {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/models/all-MiniLM-L6-v2");
        if !folder.exists() {
            return Err("no weights: run tools/fetch-models".into());
        }
        let embedder = SentenceEmbedder::from_folder(folder)?;
        let texts = sentences();
        Ok(Box::new(move || Ok(embedder.embed(&texts)?)))
    },
    ..Workload::DEFAULT
};
