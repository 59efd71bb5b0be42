//! Sentence encoders: what is deleted, and that training does what it says.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tl_models::{Bert, BertConfig, SentenceEmbedder, TextBatch, TextModel};
use tl_nn::{Ctx, ModuleExt, Tensor};
use tl_ssl::{DeleteTokens, Pretrained, SimCse, Tsdae, alignment};

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
    assert!((kept as f64 / 200.0 - 8.0).abs() < 0.5, "{kept}");
    // Of two words one stays where both would go: 0.8 + 0.36.
    let mut rest = 0;
    for _ in 0..2000 {
        rest += noise.apply(&[1, 5, 6, 2], &mut rng).unwrap().len() - 2;
    }
    assert!((f64::from(rest as u32) / 2000.0 - 1.16).abs() < 0.05, "{rest}");
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

/// Words 3 to 27 in five topics of five; a text is three of one topic, at random:
/// its beginning does not tell the rest, as far as not the topic does.
fn topics() -> Vec<Vec<usize>> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut word = |i: usize| 3 + i % 5 * 5 + rng.random_range(0..5);
    (0..192).map(|i| vec![1, word(i), word(i), word(i), 2]).collect()
}

/// The part of words whose nearest other word, as texts, is of their topic.
fn together(net: &Bert) -> f64 {
    let words: Vec<Vec<usize>> = (3..28).map(|word| vec![1, word, 2]).collect();
    let rows: Vec<&[usize]> = words.iter().map(Vec::as_slice).collect();
    let v = embed(net, &rows, &mut Ctx::eval()).unwrap();
    let v = v.sub(&v.mean(0, true).unwrap()).unwrap();
    let v = v.div(&v.norm(1, true).unwrap()).unwrap();
    let near = v.matmul(&v.t().unwrap()).unwrap().masked_fill(&Tensor::eye(25), -2.0).unwrap();
    let near = near.argmax(-1).unwrap();
    let pairs = near.as_slice().iter().enumerate();
    pairs.filter(|(i, j)| i / 5 == **j / 5).count() as f64 / 25.0
}

#[test]
fn a_sentence_is_written_from_its_vector() {
    let (texts, mut net) = (topics(), bert());
    let mut tsdae = Tsdae::new(30, [1, 2]).epochs(12).batch(16).lr(5e-3);
    tsdae.width = 32;
    let last = |run: &Pretrained| run.train.history.records[11].train["loss"];
    let start = together(&net);
    let learned = tsdae.fit(&mut net, &texts, embed).unwrap();
    let first = learned.train.history.records[0].train["loss"];
    assert!(last(&learned) < 0.6 * first, "{first} {}", last(&learned));
    // What a text was about is in the vectors of its words.
    assert!(start < 0.4 && together(&net) > 0.9, "{start} {}", together(&net));
    // An encoder that learns helps the decoder; a frozen one stays as it is.
    let mut frozen = bert();
    frozen.freeze("**").unwrap();
    let blind = tsdae.fit(&mut frozen, &texts, embed).unwrap();
    assert!(last(&learned) < 0.9 * last(&blind), "{} {}", last(&learned), last(&blind));
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
