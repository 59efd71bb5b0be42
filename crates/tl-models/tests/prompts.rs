//! Prompt and prefix tuning, and texts as tensors.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_models::{Bert, BertConfig, SentenceClassifier, TextBatch, TextModel};
use tl_nn::{Ctx, Forward, ModuleExt, Tensor};

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn bert() -> Bert {
    let config = BertConfig {
        vocab_size: 40,
        hidden_size: 16,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 20,
        max_position_embeddings: 12,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        ..BertConfig::default()
    };
    Bert::new(&config, &mut rng(1)).unwrap()
}

fn texts() -> Tensor {
    TextBatch::to_tensor(&[vec![5, 6, 7, 8], vec![9, 10]], 0).unwrap()
}

fn out(model: &SentenceClassifier) -> Vec<f32> {
    model.forward(&texts(), &mut Ctx::eval()).unwrap().to_vec()
}

/// The classes depend on what was added, and only that and the head are trained.
fn check(add: impl Fn(&mut Bert) -> tl_nn::Result<()>, names: &str, numbers: usize) {
    let plain = SentenceClassifier::new(bert(), 3, 0, &mut rng(2));
    let mut model = plain.clone();
    add(&mut model.bert).unwrap();
    let head = 16 * 3 + 3;
    assert_eq!(model.count_params().0, numbers + head);
    let loss = model.forward(&texts(), &mut Ctx::train(0)).unwrap().square().sum_all();
    let gradients = loss.backward().unwrap();
    for (path, param) in model.params() {
        let has = gradients.get(param.tensor()).is_some();
        assert_eq!(has, path.contains(names) || path.starts_with("classifier"), "{path}");
    }
    let before = out(&model);
    assert_ne!(before, out(&plain));
    // A text gives the same in any company: padding is masked with prompts, too.
    let alone = TextBatch::to_tensor(&[vec![9, 10]], 0).unwrap();
    let alone = model.forward(&alone, &mut Ctx::eval()).unwrap().to_vec();
    for (a, b) in alone.iter().zip(&before[3..]) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
    // The state dict of the base loads without what was added.
    assert_eq!(model.params().len(), plain.params().len() + 1);
}

#[test]
fn prompts_and_prefixes_are_trained_alone() {
    check(|bert| bert.add_prompt(3, &mut rng(3)), "prompt", 3 * 16);
    check(|bert| bert.add_prefix(3, &mut rng(3)), "prefix", 3 * 2 * 2 * 16);
    let mut model = bert();
    assert!(
        model.add_prompt(0, &mut rng(0)).is_err() && model.add_prompt(12, &mut rng(0)).is_err()
    );
    assert!(model.add_prefix(0, &mut rng(0)).unwrap_err().to_string().contains("at least 1"));
    // A prompt takes places: what is left bounds the text.
    model.add_prompt(10, &mut rng(0)).unwrap();
    let long = TextBatch::padded(&[vec![1, 2, 3]], 0).unwrap();
    assert!(model.hidden(&long, &mut Ctx::eval()).unwrap_err().to_string().contains("12 tokens"));
    let short = TextBatch::padded(&[vec![1, 2]], 0).unwrap();
    assert_eq!(model.hidden(&short, &mut Ctx::eval()).unwrap().dims(), [1, 2, 16]);
}

#[test]
fn ids_that_are_none_are_refused() {
    let say = |t: Tensor| TextBatch::from_tensor(&t, 0).unwrap_err().to_string();
    assert!(say(Tensor::full([1, 2], 1.5)).contains("whole numbers"));
    assert!(say(Tensor::full([1, 2], -1.0)).contains("whole numbers"));
    assert!(say(Tensor::full([1, 2], f32::NAN)).contains("whole numbers"));
    assert!(say(Tensor::zeros([1, 2])).contains("empty"));
    assert!(say(Tensor::zeros([3])).contains("[n, l]"));
}
