//! Domain adaptation.

use super::Workload;
use crate::fill::{classes, numbers, set_weights};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_dann::{Discriminator, domain_loss, reverse, sinkhorn};
use tl_nn::{
    Act, Conv2d, CrossEntropy, Ctx, Flatten, Forward, Linear, MaxPool2d, ModuleExt, Optimizer,
    Pool, Sequential, Sgd, module,
};

#[derive(Clone)]
struct Net {
    encoder: Sequential,
    head: Linear,
    discriminator: Discriminator,
}
module!(Net { encoder, head, discriminator });

/// Classifier and discriminator on one batch of each domain (Ganin et al. 2016).
pub(super) const DANN_STEP: Workload = Workload {
    name: "dann_step",
    about: "conv 1-32-48 5x5, 768-100, head and discriminator 100-100-100-1 with reversal, \
            64 + 64 images of 28x28, one step of SGD with momentum",
    peers: &["torch", "torch_compile"],
    setup: || {
        let rng = &mut ChaCha8Rng::seed_from_u64(0);
        let encoder = Sequential::new()
            .push(Conv2d::new(1, 32, 5, rng))
            .push(Act::Relu)
            .push(MaxPool2d::new(Pool::new(2)))
            .push(Conv2d::new(32, 48, 5, rng))
            .push(Act::Relu)
            .push(MaxPool2d::new(Pool::new(2)))
            .push(Flatten)
            .push(Linear::new(768, 100, rng))
            .push(Act::Relu);
        let discriminator = Discriminator::new(100, 100, rng);
        let mut net = Net { encoder, head: Linear::new(100, 10, rng), discriminator };
        set_weights(10, &mut net)?;
        let (x, y) = (numbers(1, [128, 1, 28, 28]), classes(64, 10));
        let mut optimizer = Optimizer::new(Sgd::new(0.01).momentum(0.9));
        let mut step = 0;
        Ok(Box::new(move || {
            step += 1;
            let mut cx = Ctx::train(step);
            let features = net.encoder.forward(&x, &mut cx)?;
            let logits = net.head.forward(&features.narrow(0, 0, 64)?, &mut cx)?;
            let told = net.discriminator.forward(&reverse(&features, 0.5)?, &mut cx)?;
            let domain = domain_loss(&told.narrow(0, 0, 64)?, &told.narrow(0, 64, 64)?, None)?;
            let loss = CrossEntropy::new().loss(&logits, &y)?.add(&domain)?;
            optimizer.step(&mut net, &loss.backward()?)?;
            net.apply(cx.take_updates())?;
            Ok(loss.detach())
        }))
    },
    ..Workload::DEFAULT
};

/// Entropic transport (Cuturi 2013).
pub(super) const SINKHORN: Workload = Workload {
    name: "sinkhorn",
    about: "transport plan of a 1,000 x 1,000 cost, regularisation a tenth of the mean cost, \
            100 iterations",
    peers: &["pot", "pot_log"],
    // The iterations begin on different sides.
    tolerance: Some(2e-2),
    setup: || {
        let (a, b) = (numbers(1, [1000, 16]), numbers(2, [1000, 16]));
        let cost = tl_maml::squared_distances(&a, &b)?;
        let regularisation = f64::from(cost.mean_all().item()?) * 0.1;
        Ok(Box::new(move || Ok(sinkhorn(&cost, regularisation, 100)?)))
    },
    ..Workload::DEFAULT
};
