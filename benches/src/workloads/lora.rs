//! Low-rank adaptation of a transformer.

use super::Workload;
use crate::fill::{numbers, set_weight, set_weights};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_finetune::{LoraConfig, peft};
use tl_models::{Bert, BertConfig, TextBatch, TextModel};
use tl_nn::{AdamW, Ctx, Forward, ModuleExt, Optimizer, Result, Tensor, module};

/// A model of text on one batch, as a model of tensors.
#[derive(Clone)]
struct OnBatch {
    bert: Bert,
    batch: TextBatch,
}
module!(OnBatch { bert; skip batch });

impl Forward for OnBatch {
    fn forward(&self, _: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        self.bert.hidden(&self.batch, cx)
    }
}

/// Tokens of a sequence.
const LENGTH: usize = 64;

/// MiniLM's encoder with adapters of rank 8 on queries and values.
pub(super) const TRAIN: Workload = Workload {
    name: "lora_train",
    about: "MiniLM's 6 layers, rank 8 on queries and values, 16 x 64 tokens, one step of AdamW",
    peers: &["torch", "torch_compile"],
    setup: || {
        let config = BertConfig {
            vocab_size: 1000,
            max_position_embeddings: LENGTH,
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            ..BertConfig::mini_lm_l6()
        };
        let mut bert = Bert::new(&config, &mut ChaCha8Rng::seed_from_u64(0))?;
        set_weights(100, &mut bert)?;
        let ids = (0..16).map(|i| (0..LENGTH).map(|t| (i * 61 + t * 17) % 1000).collect());
        let batch = TextBatch::padded(&ids.collect::<Vec<Vec<usize>>>(), 0)?;
        let mut net = OnBatch { bert, batch };
        peft::attach(&mut net, "default", LoraConfig::new(["query", "value"]).rank(8), 0)?;
        let mut seed = 10;
        net.for_each_param(|path, param| {
            if param.is_frozen() {
                return Ok(());
            }
            seed += 1;
            set_weight(seed, path, param)
        })?;
        let target = numbers(2, [16, LENGTH, 384]);
        let mut optimizer = Optimizer::new(AdamW::new(1e-4));
        let mut step = 0;
        Ok(Box::new(move || {
            step += 1;
            let y = net.forward(&target, &mut Ctx::train(step))?;
            let loss = y.mul(&target)?.mean_all();
            optimizer.step(&mut net, &loss.backward()?)?;
            Ok(loss.detach())
        }))
    },
    ..Workload::DEFAULT
};
