//! A transformer encoder of the size of MiniLM.

use super::Workload;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_nn::{
    Act, AdamW, Ctx, Forward, ModuleExt, Optimizer, Result, Tensor, TransformerEncoder,
    TransformerEncoderLayer,
};

fn encoder(rng: &mut ChaCha8Rng) -> Result<TransformerEncoder> {
    let layers = (0..6)
        .map(|_| {
            let layer = TransformerEncoderLayer::new(384, 12, 1536, rng)?;
            Ok(layer.dropout(0.0).activation(Act::Gelu))
        })
        .collect::<Result<_>>()?;
    Ok(TransformerEncoder { layers, norm: None })
}

/// A forward pass without gradients.
pub(super) const FORWARD: Workload = Workload {
    name: "transformer_fwd",
    about: "6 layers, width 384, 12 heads, feed-forward 1536, gelu, 16 x 64 tokens, forward",
    peers: &["torch"],
    setup: || {
        let rng = &mut ChaCha8Rng::seed_from_u64(0);
        let mut net = encoder(rng)?;
        net.freeze("**")?;
        let x = Tensor::randn([16, 64, 384], rng);
        Ok(Box::new(move || net.forward(&x, &mut Ctx::eval()).map(drop)))
    },
};

/// A step of AdamW.
pub(super) const TRAIN: Workload = Workload {
    name: "transformer_train",
    about: "the same, one step of AdamW on the mean square of the output",
    peers: &["torch"],
    setup: || {
        let rng = &mut ChaCha8Rng::seed_from_u64(0);
        let mut net = encoder(rng)?;
        let x = Tensor::randn([16, 64, 384], rng);
        let mut optimizer = Optimizer::new(AdamW::new(1e-4));
        let mut step = 0;
        Ok(Box::new(move || {
            step += 1;
            let y = net.forward(&x, &mut Ctx::train(step))?;
            let gradients = y.square().mean_all().backward()?;
            optimizer.step(&mut net, &gradients)?;
            Ok(())
        }))
    },
};
