//! A step of a small perceptron.

use super::{Workload, classes, classifier_step};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_nn::{Act, Adam, Linear, Optimizer, Sequential, Tensor};

/// 784-256-128-10, batch 64, cross entropy, Adam.
pub(super) const MLP_STEP: Workload = Workload {
    name: "mlp_step",
    about: "784-256-128-10 perceptron, batch 64, one step of Adam",
    peers: &["torch", "torch_fused"],
    setup: || {
        let rng = &mut ChaCha8Rng::seed_from_u64(0);
        let net = Sequential::new()
            .push(Linear::new(784, 256, rng))
            .push(Act::Relu)
            .push(Linear::new(256, 128, rng))
            .push(Act::Relu)
            .push(Linear::new(128, 10, rng));
        let x = Tensor::randn([64, 784], rng);
        Ok(classifier_step(net, Optimizer::new(Adam::new(1e-3)), x, classes(64, 10)))
    },
};
