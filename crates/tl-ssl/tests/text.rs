//! Sentence encoders: what is deleted, and that training does what it says.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_models::{Bert, BertConfig, SentenceEmbedder, TextBatch, TextModel};
use tl_nn::{Ctx, ModuleExt, Tensor};
use tl_ssl::{DeleteTokens, SimCse, Tsdae, alignment};

fn bert() -> Bert {
    let config = BertConfig {
        vocab_size: 30,
        hidden_size: 16,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 32,
        max_position_embeddings: 16,
        ..BertConfig::default()
    };
    let mut bert = Bert::new(&config, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    // The mean over tokens does not use it.
    bert.freeze("pooler.**").unwrap();
    bert
}

fn embed(bert: &Bert, texts: &[&[usize]], cx: &mut Ctx) -> tl_nn::Result<Tensor> {
    bert.features(&TextBatch::padded(texts, 0)?, cx)
}

/// Sentences of words that go together, between 1 and 2.
fn texts() -> Vec<Vec<usize>> {
    let words = |i: usize| (0..4 + i % 4).map(move |j| 3 + (i % 5) * 5 + (i * 7 + j * j) % 5);
    (0..96).map(|i| [1].into_iter().chain(words(i)).chain([2]).collect()).collect()
}

#[test]
fn six_of_ten_words_are_deleted() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let noise = DeleteTokens::new([1, 2]);
    let text: Vec<usize> = [1].into_iter().chain(3..23).chain([2]).collect();
    let mut kept = 0;
    for _ in 0..200 {
        let left = noise.apply(&text, &mut rng).unwrap();
        assert!(left[0] == 1 && left[left.len() - 1] == 2 && left.len() > 2);
        assert!(left[1..left.len() - 1].windows(2).all(|w| w[0] < w[1]));
        kept += left.len() - 2;
    }
    // One of twenty stays always, the others in 40 % of cases.
    assert!((kept as f64 / 200.0 - 8.6).abs() < 0.5, "{kept}");
    let all = DeleteTokens { part: 1.0, ..noise.clone() };
    assert_eq!(all.apply(&[1, 9, 2], &mut rng).unwrap(), [1, 9, 2]);
    assert_eq!(all.apply(&[1, 2], &mut rng).unwrap(), [1, 2]);
    assert!(DeleteTokens { part: 1.5, ..noise }.apply(&text, &mut rng).is_err());
}

#[test]
fn dropout_views_come_closer() {
    let (texts, mut net) = (texts(), bert());
    let rows: Vec<&[usize]> = texts.iter().map(Vec::as_slice).collect();
    let apart = |net: &Bert| {
        let view = |seed| embed(net, &rows, &mut Ctx::train(seed)).unwrap();
        let (a, b) = (view(1), view(2));
        let centre = a.mean(0, true).unwrap();
        alignment(&a.sub(&centre).unwrap(), &b.sub(&centre).unwrap()).unwrap()
    };
    let before = apart(&net);
    let run = SimCse::new().epochs(8).batch(32).lr(1e-3).fit(&mut net, &texts, embed).unwrap();
    let records = &run.train.history.records;
    assert!(records[7].train["loss"] < records[0].train["loss"]);
    assert!(apart(&net) < before, "{before} {}", apart(&net));
    // The names are those of the checkpoint that it came from.
    let names = |net: &Bert| net.params().into_iter().map(|(n, _)| n).collect::<Vec<_>>();
    assert_eq!(names(&net), names(&bert()));
    let mut empty = texts.clone();
    empty[3].clear();
    assert!(
        SimCse::new().fit(&mut net, &empty, embed).unwrap_err().to_string().contains("place 3")
    );
}

#[test]
fn a_sentence_is_written_from_its_vector() {
    let (texts, mut net) = (texts(), bert());
    let mut tsdae = Tsdae::new(30, [1, 2]).epochs(12).batch(16).lr(5e-3);
    tsdae.width = 32;
    let run = tsdae.fit(&mut net, &texts, embed).unwrap();
    let records = &run.train.history.records;
    // The encoder learns with the decoder.
    let last = records[11].train["loss"];
    assert!(last < 0.6 * records[0].train["loss"], "{last}");
    let mut frozen = bert();
    frozen.freeze("**").unwrap();
    assert_ne!(net.state_dict().to_bytes().unwrap(), bert().state_dict().to_bytes().unwrap());
    tsdae.fit(&mut frozen, &texts, embed).unwrap();
    assert_eq!(frozen.state_dict().to_bytes().unwrap(), bert().state_dict().to_bytes().unwrap());
    let why = |t: &Tsdae| t.fit(&mut bert(), &texts, embed).unwrap_err().to_string();
    assert!(why(&Tsdae::new(10, [1, 2])).contains("vocabulary"));
    assert!(why(&Tsdae { depth: 0, ..tsdae }).contains("layer"));
}

/// With the real weights, where `tools/fetch-models` has put them.
#[test]
fn minilm_goes_on_learning() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/models/all-MiniLM-L6-v2");
    if !std::path::Path::new(folder).exists() {
        return;
    }
    let mut embedder = SentenceEmbedder::from_folder(folder).unwrap();
    embedder.model.freeze("pooler.**").unwrap();
    let texts = [
        "A man is eating food.",
        "A man is eating a piece of bread.",
        "Stock prices fell on Monday.",
        "The market closed lower at the start of the week.",
        "The engine does not start when it is cold.",
        "My graphics card needs another driver.",
        "The goalkeeper saved two shots.",
        "A rocket was launched to the station.",
    ];
    let tokens: Vec<Vec<usize>> =
        texts.iter().map(|text| embedder.tokenizer.encode(text, 32)).collect();
    let vectors = |embedder: &SentenceEmbedder| embedder.embed(&texts).unwrap();
    let cosine = |v: &Tensor, i: usize, j: usize| -> f32 {
        v.select(0, i).unwrap().mul(&v.select(0, j).unwrap()).unwrap().sum_all().item().unwrap()
    };
    let before = vectors(&embedder);
    SimCse::new().batch(4).epochs(2).fit(&mut embedder.model, &tokens, embed).unwrap();
    let mut tsdae = Tsdae::new(30_522, [101, 102]).batch(4);
    tsdae.width = 16;
    tsdae.fit(&mut embedder.model, &tokens, embed).unwrap();
    let after = vectors(&embedder);
    // It has moved, and still knows what is alike.
    assert!(before.sub(&after).unwrap().square().sum_all().item().unwrap() > 1e-7);
    assert!(cosine(&after, 0, 1) > cosine(&after, 0, 2) + 0.3);
    assert!(cosine(&after, 2, 3) > cosine(&after, 2, 4));
}
