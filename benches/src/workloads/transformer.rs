//! A transformer encoder of the size of MiniLM.

use super::Workload;
use crate::fill::{numbers, set_weights};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_nn::{
    Act, AdamW, Ctx, Forward, ModuleExt, Optimizer, Result, TransformerEncoder,
    TransformerEncoderLayer,
};

fn encoder(rng: &mut ChaCha8Rng) -> Result<TransformerEncoder> {
    let layers = (0..6)
        .map(|_| {
            let layer = TransformerEncoderLayer::new(384, 12, 1536, rng)?;
            Ok(layer.dropout(0.0).activation(Act::Gelu))
        })
        .collect::<Result<_>>()?;
    let mut net = TransformerEncoder { layers, norm: None };
    set_weights(10, &mut net)?;
    Ok(net)
}

/// A forward pass without gradients.
pub(super) const FORWARD: Workload = Workload {
    name: "transformer_fwd",
    about: "6 layers, width 384, 12 heads, feed-forward 1536, gelu, 16 x 64 tokens, forward",
    peers: &["torch", "torch_compile", "candle", "burn"],
    setup: || {
        let rng = &mut ChaCha8Rng::seed_from_u64(0);
        let mut net = encoder(rng)?;
        net.freeze("**")?;
        let x = numbers(1, [16, 64, 384]);
        Ok(Box::new(move || Ok(net.forward(&x, &mut Ctx::eval())?)))
    },
    ..Workload::DEFAULT
};

/// A step of AdamW.
pub(super) const TRAIN: Workload = Workload {
    name: "transformer_train",
    about: "the same, one step of AdamW on the mean product with fixed numbers",
    peers: &["torch", "torch_fused", "torch_compile"],
    setup: || {
        let rng = &mut ChaCha8Rng::seed_from_u64(0);
        let mut net = encoder(rng)?;
        let x = numbers(1, [16, 64, 384]);
        let target = numbers(2, [16, 64, 384]);
        let mut optimizer = Optimizer::new(AdamW::new(1e-4));
        let mut step = 0;
        Ok(Box::new(move || {
            step += 1;
            let y = net.forward(&x, &mut Ctx::train(step))?;
            let loss = y.mul(&target)?.mean_all();
            optimizer.step(&mut net, &loss.backward()?)?;
            Ok(loss.detach())
        }))
    },
    ..Workload::DEFAULT
};
