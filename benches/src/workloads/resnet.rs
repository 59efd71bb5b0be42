//! ResNet-18.

use super::{Run, Workload, classifier_step};
use crate::{
    Outcome,
    fill::{classes, numbers, set_weights},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_models::{Backbone, ResNet, ResNetConfig};
use tl_nn::{Ctx, Forward, ModuleExt, Optimizer, Sgd};

fn net(classes: usize) -> Outcome<ResNet> {
    let config = ResNetConfig { classes, ..ResNetConfig::resnet18() };
    let mut net = ResNet::new(&config, &mut ChaCha8Rng::seed_from_u64(0))?;
    set_weights(10, &mut net)?;
    Ok(net)
}

fn forward(batch: usize) -> Outcome<Run> {
    let mut net = net(1000)?;
    net.freeze("**")?;
    let x = numbers(1, [batch, 3, 224, 224]);
    Ok(Box::new(move || Ok(net.forward(&x, &mut Ctx::eval())?)))
}

/// One image.
pub(super) const FORWARD_1: Workload = Workload {
    name: "resnet18_fwd_b1",
    about: "ResNet-18, one image of 224x224, evaluation",
    peers: &["torch", "torch_nhwc", "torch_compile"],
    setup: || forward(1),
    ..Workload::DEFAULT
};

/// Eight images.
pub(super) const FORWARD_8: Workload = Workload {
    name: "resnet18_fwd_b8",
    about: "ResNet-18, 8 images of 224x224, evaluation",
    setup: || forward(8),
    ..FORWARD_1
};

/// A step of training.
pub(super) const TRAIN: Workload = Workload {
    name: "resnet18_train",
    about: "ResNet-18, 16 images of 64x64, 10 classes, one step of SGD with momentum",
    setup: || {
        let sgd = Optimizer::new(Sgd::new(0.01).momentum(0.9));
        Ok(classifier_step(net(10)?, sgd, numbers(1, [16, 3, 64, 64]), classes(16, 10)))
    },
    ..FORWARD_1
};
