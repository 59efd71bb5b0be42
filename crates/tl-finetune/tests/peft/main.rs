//! Adapters: against PEFT's own numbers, and on their own.

#[path = "../common/fails.rs"]
mod fails;
mod files;
mod methods;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_finetune::{
    BottleneckConfig, Ia3Config, LoraConfig, LoraInit, PeftConfig, VeraConfig, WholeConfig,
};
use tl_nn::{
    Act, Conv2d, Ctx, Flatten, Forward, GlobalAvgPool, LayerNorm, Linear, Module, ModuleExt,
    Sequential, Tensor,
};
use tl_tensor::Conv;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// The network of `tools/fixtures/adapters.py`.
fn net() -> Sequential {
    let mut rng = rng(3);
    let conv = Conv2d::new(1, 4, 3, &mut rng).options(Conv::new().padding(1));
    Sequential::new()
        .named("conv", conv)
        .push(Act::Relu)
        .push(GlobalAvgPool)
        .push(Flatten)
        .named("query", Linear::new(4, 6, &mut rng))
        .push(Act::Relu)
        .named("value", Linear::new(6, 5, &mut rng))
        .named("norm", LayerNorm::new(5))
        .named("classifier", Linear::new(5, 3, &mut rng))
}

fn images() -> Tensor {
    Tensor::randn([4, 1, 5, 5], &mut rng(8))
}

fn out<M: Forward>(model: &M, x: &Tensor) -> Vec<f32> {
    model.forward(x, &mut Ctx::eval()).unwrap().to_vec()
}

fn close(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = b.iter().fold(1.0_f32, |m, x| m.max(x.abs()));
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= 2e-5 * scale, "{what} at {i}: {a} and {b}");
    }
}

fn configs() -> Vec<(&'static str, PeftConfig)> {
    let mut random = LoraConfig::new(["query", "conv"]).rank(2).train(["classifier"]);
    random.init = LoraInit::Random;
    let mut dora = random.clone().dora();
    dora.targets.push("value".into());
    vec![
        ("lora", random.into()),
        ("dora", dora.into()),
        ("ia3", Ia3Config::new(["query"], ["value"]).train(["classifier"]).into()),
        ("vera", VeraConfig::new(["query", "value"]).rank(5).into()),
        ("bottleneck", BottleneckConfig::new(["query", "value"]).into()),
        ("bitfit", WholeConfig::bit_fit().into()),
        ("norms", WholeConfig::layer_norms().train(["classifier"]).into()),
    ]
}

/// Moves what is trained to where training could have left it.
fn move_trained<M: Module>(model: &mut M, by: f32) {
    model
        .for_each_param(|_, param| {
            if !param.is_frozen() {
                let mut at = 0.0_f32;
                param.update(|x| {
                    for x in x {
                        at += 0.7;
                        *x += by * at.sin();
                    }
                });
            }
            Ok(())
        })
        .unwrap();
}
