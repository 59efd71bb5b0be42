//! A step of a small perceptron.

use super::Workload;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_nn::{
    Act, Adam, CrossEntropy, Ctx, Forward, Indices, Linear, Optimizer, Sequential, Tensor,
};

/// 784-256-128-10, batch 64, cross entropy, Adam.
pub(super) const MLP_STEP: Workload = Workload {
    name: "mlp_step",
    about: "784-256-128-10 perceptron, batch 64, one step of Adam",
    peers: &["torch", "torch_fused"],
    setup: || {
        let rng = &mut ChaCha8Rng::seed_from_u64(0);
        let mut net = Sequential::new()
            .push(Linear::new(784, 256, rng))
            .push(Act::Relu)
            .push(Linear::new(256, 128, rng))
            .push(Act::Relu)
            .push(Linear::new(128, 10, rng));
        let (x, y) = (
            Tensor::randn([64, 784], rng),
            Indices::from((0..64).map(|i| i % 10).collect::<Vec<_>>()),
        );
        let mut optimizer = Optimizer::new(Adam::new(1e-3));
        let mut step = 0;
        Ok(Box::new(move || {
            step += 1;
            let logits = net.forward(&x, &mut Ctx::train(step))?;
            let gradients = CrossEntropy::new().loss(&logits, &y)?.backward()?;
            optimizer.step(&mut net, &gradients)?;
            Ok(())
        }))
    },
};
