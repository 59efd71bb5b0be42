//! A step of a small perceptron.

use super::{Workload, classifier_step};
use crate::fill::{classes, numbers, set_weights};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_nn::{Act, Adam, Linear, Optimizer, Sequential};

/// 784-256-128-10, batch 64, cross entropy, Adam.
pub(super) const MLP_STEP: Workload = Workload {
    name: "mlp_step",
    about: "784-256-128-10 perceptron, batch 64, one step of Adam",
    peers: &["torch", "torch_fused", "torch_compile", "candle", "burn"],
    setup: || {
        let rng = &mut ChaCha8Rng::seed_from_u64(0);
        let mut net = Sequential::new()
            .push(Linear::new(784, 256, rng))
            .push(Act::Relu)
            .push(Linear::new(256, 128, rng))
            .push(Act::Relu)
            .push(Linear::new(128, 10, rng));
        set_weights(10, &mut net)?;
        let optimizer = Optimizer::new(Adam::new(1e-3));
        Ok(classifier_step(net, optimizer, numbers(1, [64, 784]), classes(64, 10)))
    },
    ..Workload::DEFAULT
};
