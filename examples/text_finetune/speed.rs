//! How long a step takes.

use super::{
    adapt::{Encoder, TARGETS},
    shared::Outcome,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Instant;
use transfer_learning::{
    finetune::{LoraConfig, peft},
    models::SentenceClassifier,
    nn::{AdamW, CrossEntropy, Indices, Optimizer},
    prelude::*,
};

const BATCH: usize = 32;
const LENGTH: usize = 32;

/// The median milliseconds of a step of full fine-tuning and of LoRA at rank 8, with
/// 32 texts of 32 tokens: forward, backward and AdamW, turn by turn.
pub fn measure(encoder: &Encoder) -> Outcome {
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let ids = (0..BATCH * LENGTH).map(|_| rng.random_range(3..encoder.config.vocab_size) as f32);
    let ids = Tensor::from_vec(ids.collect(), [BATCH, LENGTH])?;
    let labels: Indices = (0..BATCH).map(|i| i % 2).collect::<Vec<_>>().into();
    let full = encoder.classifier(&encoder.bert, 2, rng);
    let adapted = |targets: &[&str]| -> Outcome<SentenceClassifier> {
        let mut model = full.clone();
        let config = LoraConfig::new(targets.iter().copied()).rank(8).train(["classifier"]);
        peft::attach(&mut model, "speed", config, 0)?;
        Ok(model)
    };
    let all = adapted(&TARGETS)?;
    let some = adapted(&["query", "value"])?;
    let mut ways: Vec<(&str, SentenceClassifier, Optimizer, Vec<f64>)> =
        [("full", full.clone()), ("LoRA, all layers", all), ("LoRA, query and value", some)]
            .into_iter()
            .map(|(name, model)| (name, model, Optimizer::new(AdamW::new(1e-4)), Vec::new()))
            .collect();
    for round in 0..10 {
        for (_, model, optimizer, times) in &mut ways {
            let start = Instant::now();
            let logits = model.forward(&ids, &mut Ctx::train(round))?;
            let gradients = CrossEntropy::new().loss(&logits, &labels)?.backward()?;
            optimizer.step(model, &gradients)?;
            if round > 1 {
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    let median = |times: &[f64]| {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let base = full.count_params().1;
    let first = median(&ways[0].3);
    for (name, model, _, times) in &ways {
        let (own, trained) = (median(times), model.count_params().0);
        let part = 100.0 * trained as f64 / base as f64;
        println!("{name}: {own:.0} ms a step, {:.2}x, {trained} trained ({part:.2}%)", first / own);
    }
    Ok(())
}
