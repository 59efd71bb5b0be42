//! Real weights, if `tools/fetch-models` brought them (or `TL_MODELS` says
//! where they are).

#![allow(clippy::print_stderr)]

use super::{FIXTURES, close};
use std::path::PathBuf;
use tl_models::{Backbone, EfficientNetLite, EfficientNetLiteConfig};
use tl_nn::{Ctx, Forward, StateDict};

fn models() -> Option<PathBuf> {
    let folder = match std::env::var_os("TL_MODELS") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/models")),
    };
    if !folder.join("efficientnet-lite0.safetensors").exists() {
        eprintln!("skipped: run tools/fetch-models");
        return None;
    }
    Some(folder)
}

#[test]
fn efficientnet_sees_a_palace_and_a_daisy() {
    let Some(folder) = models() else { return };
    let path = folder.join("efficientnet-lite0.safetensors");
    let net = EfficientNetLite::from_safetensors(&EfficientNetLiteConfig::lite0(), path).unwrap();
    let photos = StateDict::open(format!("{FIXTURES}/efficientnet_photos.safetensors")).unwrap();
    let pixels = photos.tensor("pixels").unwrap().mul_scalar(1.0 / 255.0);
    let x = net.preprocess().standardise(&pixels).unwrap();
    let logits = net.forward(&x, &mut Ctx::eval()).unwrap();
    close(&logits.to_vec(), &photos.tensor("logits").unwrap().to_vec(), 1e-4);
    // ImageNet's classes 698, palace, and 985, daisy.
    assert_eq!(logits.argmax(-1).unwrap().as_slice(), [698, 985]);
}

#[cfg(feature = "tokenizer")]
#[test]
fn mini_lm_embeds_sentences_as_its_home() {
    #[derive(serde::Deserialize)]
    struct Expected {
        sentences: Vec<String>,
        ids: Vec<Vec<usize>>,
        embeddings: Vec<Vec<f32>>,
    }
    let Some(folder) = models() else { return };
    let text = std::fs::read_to_string(format!("{FIXTURES}/minilm_sentences.json")).unwrap();
    let expected: Expected = serde_json::from_str(&text).unwrap();
    let mut embedder =
        tl_models::SentenceEmbedder::from_folder(folder.join("all-MiniLM-L6-v2")).unwrap();
    for (sentence, ids) in expected.sentences.iter().zip(&expected.ids) {
        assert_eq!(&embedder.tokenizer.encode(sentence, 256), ids, "{sentence}");
    }
    embedder.batch = 7;
    let ours = embedder.embed(&expected.sentences).unwrap();
    close(&ours.to_vec(), &expected.embeddings.concat(), 1e-4);
}
