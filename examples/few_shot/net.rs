//! The encoder of all methods, and a classifier on it.

use rand::RngCore;
use transfer_learning::{
    nn::{
        BatchNorm2d, Conv2d, Ctx, Flatten, Forward, Linear, MaxPool2d, Result, Sequential, module,
    },
    prelude::*,
    tensor::{Conv, Pool},
};

/// Features of a 28x28 image.
const FEATURES: usize = 16 * 3 * 3;

/// Three blocks of convolution, normalisation, rectifier and pooling.
pub fn encoder(rng: &mut dyn RngCore) -> Sequential {
    let mut net = Sequential::new();
    for from in [1, 16, 16] {
        net = net
            .push(Conv2d::new(from, 16, 3, rng).options(Conv::new().padding(1)).without_bias())
            .push(BatchNorm2d::new(16))
            .push(transfer_learning::nn::Act::Relu)
            .push(MaxPool2d::new(Pool::new(2)));
    }
    net.push(Flatten)
}

/// The encoder with a linear head.
#[derive(Clone, Debug)]
pub struct Classifier {
    pub encoder: Sequential,
    pub fc: Linear,
}
module!(Classifier { encoder, fc });

impl Classifier {
    pub fn new(classes: usize, rng: &mut dyn RngCore) -> Self {
        Self { encoder: encoder(rng), fc: Linear::new(FEATURES, classes, rng) }
    }
}

impl Forward for Classifier {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let features = cx.within("encoder", |cx| self.encoder.forward(x, cx))?;
        self.fc.forward(&features, cx)
    }
}
