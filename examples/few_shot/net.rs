//! The networks of all methods.

use rand::RngCore;
use transfer_learning::{
    nn::{
        Act, BatchNorm1d, BatchNorm2d, Conv2d, Ctx, Flatten, Forward, Linear, MaxPool2d, Result,
        Sequential, module,
    },
    prelude::*,
    tensor::{Conv, Pool},
};

/// The side of the images.
const SIDE: usize = 28;

/// Blocks of convolution, normalisation, rectifier and pooling, and then one
/// feature for each filter and place (Vinyals et al. 2016; with four blocks
/// "Conv-4").
pub fn conv(blocks: u32, filters: usize, rng: &mut dyn RngCore) -> Sequential {
    let mut net = Sequential::new();
    for block in 0..blocks {
        let from = if block == 0 { 1 } else { filters };
        net = net
            .push(Conv2d::new(from, filters, 3, rng).options(Conv::new().padding(1)).without_bias())
            .push(BatchNorm2d::new(filters))
            .push(Act::Relu)
            .push(MaxPool2d::new(Pool::new(2)));
    }
    net.push(Flatten)
}

/// Layers of 256, 128, 64 and 64 (Finn et al. 2017, section 5.2).
pub fn dense(rng: &mut dyn RngCore) -> Sequential {
    let mut net = Sequential::new().push(Flatten);
    let mut from = SIDE * SIDE;
    for to in [256, 128, 64, 64] {
        net = net
            .push(Linear::without_bias(from, to, rng))
            .push(BatchNorm1d::new(to))
            .push(Act::Relu);
        from = to;
    }
    net
}

/// An encoder with a linear head.
#[derive(Clone, Debug)]
pub struct Classifier {
    pub encoder: Sequential,
    pub fc: Linear,
}
module!(Classifier { encoder, fc });

impl Classifier {
    /// On [`conv`].
    pub fn conv(blocks: u32, filters: usize, classes: usize, rng: &mut dyn RngCore) -> Self {
        let side = SIDE >> blocks;
        let encoder = conv(blocks, filters, rng);
        Self { encoder, fc: Linear::new(filters * side * side, classes, rng) }
    }

    /// On [`dense`].
    pub fn dense(classes: usize, rng: &mut dyn RngCore) -> Self {
        let encoder = dense(rng);
        Self { encoder, fc: Linear::new(64, classes, rng) }
    }
}

impl Forward for Classifier {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let features = cx.within("encoder", |cx| self.encoder.forward(x, cx))?;
        self.fc.forward(&features, cx)
    }
}
