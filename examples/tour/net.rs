//! A small convolutional network for 8x8 images.

use rand::RngCore;
use transfer_learning::{
    nn::{BatchNorm2d, Conv2d, Ctx, Forward, Linear, Result, module},
    prelude::*,
    tensor::{Conv, Pool},
};

/// The number of features before the head.
const FEATURES: usize = 256;

/// Three convolutions, normalised, and a linear head.
#[derive(Clone, Debug)]
pub struct Net {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Conv2d,
    bn3: BatchNorm2d,
    /// The part that knows the classes.
    pub fc: Linear,
}
module!(Net { conv1, bn1, conv2, bn2, conv3, bn3, fc });

impl Net {
    /// With random weights.
    pub fn new(classes: usize, rng: &mut dyn RngCore) -> Self {
        // Batch normalisation has a bias of its own.
        let conv = |from, to, rng: &mut dyn RngCore| {
            Conv2d::new(from, to, 3, rng).options(Conv::new().padding(1)).without_bias()
        };
        Self {
            conv1: conv(1, 16, rng),
            bn1: BatchNorm2d::new(16),
            conv2: conv(16, 32, rng),
            bn2: BatchNorm2d::new(32),
            conv3: conv(32, 64, rng),
            bn3: BatchNorm2d::new(64),
            fc: Self::head(classes, rng),
        }
    }

    /// A new head.
    pub fn head(classes: usize, rng: &mut dyn RngCore) -> Linear {
        Linear::new(FEATURES, classes, rng)
    }

    /// What the head sees, `[n, 256]`.
    pub fn features(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let block = |name: &str, conv: &Conv2d, bn: &BatchNorm2d, x: &Tensor, cx: &mut Ctx| {
            cx.within(name, |cx| Ok(bn.forward(&conv.forward(x, cx)?, cx)?.relu()))
        };
        let x = block("conv1", &self.conv1, &self.bn1, x, cx)?;
        let x = block("conv2", &self.conv2, &self.bn2, &x, cx)?.max_pool2d(Pool::new(2))?;
        let x = block("conv3", &self.conv3, &self.bn3, &x, cx)?.max_pool2d(Pool::new(2))?;
        Ok(x.flatten(1, -1)?)
    }
}

impl Forward for Net {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let features = self.features(x, cx)?;
        cx.within("fc", |cx| self.fc.forward(&features, cx))
    }
}
