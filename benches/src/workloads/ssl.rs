//! Self-supervised learning: augmentation, losses, a whole step.

use super::{Run, Workload};
use crate::{
    Outcome,
    fill::{numbers, set_weights},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_data::transform::{
    ColourJitter, Compose, GaussianBlur, RandomAffine, RandomCrop, RandomFlip, Transform,
};
use tl_models::{Backbone, ResNet, ResNetConfig};
use tl_nn::{Adam, Conv, Conv2d, Ctx, Forward, GradOptions, ModuleExt, Optimizer, Tensor, grad};
use tl_ssl::{VicReg, nt_xent, vicreg};

/// Images of a batch.
const BATCH: usize = 256;

fn pipeline() -> Compose {
    Compose::new()
        .then(RandomCrop::new(28, 28).padding(4))
        .then(RandomFlip::horizontal())
        .then(RandomAffine::new().degrees(15.0).scale(0.8, 1.2))
        .then(ColourJitter::new().brightness(0.4).contrast(0.4))
        .then(GaussianBlur::new(0.1, 1.0))
}

/// Images with values from 0 to 1.
fn images(channels: usize) -> Tensor {
    numbers(1, [BATCH, channels, 28, 28]).affine(0.25, 0.5)
}

/// The pipeline alone.
pub(super) const AUGMENT: Workload = Workload {
    name: "augment",
    about: "256 images of 3x28x28: crop with padding, flip, affine, brightness and contrast, blur",
    peers: &["torchvision", "torchvision_workers"],
    tolerance: None,
    setup: || {
        let (x, pipeline) = (images(3), pipeline());
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        Ok(Box::new(move || Ok(pipeline.apply(&x, &mut rng)?)))
    },
    ..Workload::DEFAULT
};

/// SimCLR with a residual network (Chen et al. 2020).
fn simclr(augmented: bool) -> Outcome<Run> {
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let config = ResNetConfig {
        blocks: [1, 1, 1, 1],
        channels: 1,
        classes: 128,
        ..ResNetConfig::resnet18()
    };
    let mut net = ResNet::new(&config, rng)?;
    net.conv1 = Conv2d::new(1, 64, 3, rng).options(Conv::new().padding(1)).without_bias();
    set_weights(10, &mut net)?;
    let (x, pipeline) = (images(1), pipeline());
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut optimizer = Optimizer::new(Adam::new(1e-3));
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        let mut cx = Ctx::train(step);
        let mut view = || -> Outcome<Tensor> {
            if augmented { Ok(pipeline.apply(&x, &mut rng)?) } else { Ok(x.clone()) }
        };
        let (a, b) = (view()?, view()?);
        let loss = nt_xent(&net.forward(&a, &mut cx)?, &net.forward(&b, &mut cx)?, 0.5)?;
        optimizer.step(&mut net, &loss.backward()?)?;
        net.apply(cx.take_updates())?;
        Ok(loss.detach())
    }))
}

/// A whole step.
pub(super) const SIMCLR_STEP: Workload = Workload {
    name: "simclr_step",
    about: "ResNet-10 of 64 channels (3x3 stem), two augmented views of 256 images of 28x28, \
            NT-Xent, one step of Adam",
    peers: &["torch"],
    tolerance: None,
    setup: || simclr(true),
    ..Workload::DEFAULT
};

/// The same without augmentation, whose results can be compared.
pub(super) const SIMCLR_PLAIN: Workload = Workload {
    name: "simclr_step_plain",
    about: "the same step on two equal views, without augmentation",
    peers: &["torch", "torch_nhwc"],
    setup: || simclr(false),
    ..Workload::DEFAULT
};

/// VICReg's loss (Bardes et al. 2022).
pub(super) const VICREG_LOSS: Workload = Workload {
    name: "vicreg_loss",
    about: "VICReg of two views of 256 x 1,024 numbers, forward and backward",
    peers: &["torch", "torch_compile", "lightly"],
    setup: || {
        let a = numbers(1, [BATCH, 1024]).requires_grad();
        let b = numbers(2, [BATCH, 1024]).requires_grad();
        let weights = VicReg::default();
        Ok(Box::new(move || {
            let loss = vicreg(&a, &b, &weights)?;
            let slopes = grad(&loss, &[&a, &b], GradOptions::new())?;
            Ok(slopes[0].sub(&slopes[1])?)
        }))
    },
    ..Workload::DEFAULT
};
