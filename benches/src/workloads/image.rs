//! Small convolutional networks.

use super::{Workload, classifier_step};
use crate::fill::{classes, numbers, set_weights};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_nn::{
    Act, Adam, BatchNorm2d, Conv, Conv2d, CrossEntropy, Ctx, Flatten, Forward, Linear, MaxPool2d,
    ModuleExt, Optimizer, Pool, Sequential, Sgd,
};

/// Two convolutions and two linear layers, batch 64, SGD with momentum.
pub(super) const LENET_STEP: Workload = Workload {
    name: "lenet_step",
    about: "conv 1-32-48 5x5, pools, 768-100-10, batch 64 of 28x28, one step of SGD with momentum",
    peers: &["torch", "torch_nhwc", "torch_compile", "candle", "burn"],
    setup: || {
        let rng = &mut ChaCha8Rng::seed_from_u64(0);
        let mut net = Sequential::new()
            .push(Conv2d::new(1, 32, 5, rng))
            .push(Act::Relu)
            .push(MaxPool2d::new(Pool::new(2)))
            .push(Conv2d::new(32, 48, 5, rng))
            .push(Act::Relu)
            .push(MaxPool2d::new(Pool::new(2)))
            .push(Flatten)
            .push(Linear::new(768, 100, rng))
            .push(Act::Relu)
            .push(Linear::new(100, 10, rng));
        set_weights(10, &mut net)?;
        let sgd = Optimizer::new(Sgd::new(0.01).momentum(0.9));
        Ok(classifier_step(net, sgd, numbers(1, [64, 1, 28, 28]), classes(64, 10)))
    },
    ..Workload::DEFAULT
};

/// A prototypical network on a 5-way 5-shot episode (Snell et al. 2017).
pub(super) const PROTONET_CONV4: Workload = Workload {
    name: "protonet_conv4",
    about: "4 blocks of 64 channels, 25 support and 55 query images of 28x28, one step of Adam",
    peers: &["torch", "torch_nhwc", "torch_compile"],
    setup: || {
        let rng = &mut ChaCha8Rng::seed_from_u64(0);
        let mut net = Sequential::new();
        for i in 0..4 {
            let inputs = if i == 0 { 1 } else { 64 };
            net = net
                .push(Conv2d::new(inputs, 64, 3, rng).options(Conv::new().padding(1)))
                .push(BatchNorm2d::new(64))
                .push(Act::Relu)
                .push(MaxPool2d::new(Pool::new(2)));
        }
        let mut net = net.push(Flatten);
        set_weights(10, &mut net)?;
        let (x, y) = (numbers(1, [80, 1, 28, 28]), classes(55, 5));
        let mut optimizer = Optimizer::new(Adam::new(1e-3));
        let mut step = 0;
        Ok(Box::new(move || {
            step += 1;
            let mut cx = Ctx::train(step);
            let z = net.forward(&x, &mut cx)?;
            let prototypes = z.narrow(0, 0, 25)?.reshape([5, 5, 64])?.mean(0, false)?;
            let queries = z.narrow(0, 25, 55)?;
            let distances = tl_maml::squared_distances(&queries, &prototypes)?;
            let loss = CrossEntropy::new().loss(&distances.mul_scalar(-1.0 / 64.0), &y)?;
            optimizer.step(&mut net, &loss.backward()?)?;
            net.apply(cx.take_updates())?;
            Ok(loss.detach())
        }))
    },
    ..Workload::DEFAULT
};
