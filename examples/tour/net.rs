//! A small convolutional network for 8x8 images.

use rand::RngCore;
use transfer_learning::{
    nn::{
        Act, BatchNorm2d, Conv2d, Ctx, Flatten, Forward, Linear, MaxPool2d, Result, Sequential,
        module,
    },
    prelude::*,
    tensor::{Conv, Pool},
};

/// The number of features of an image.
pub const FEATURES: usize = 256;

/// Three convolutions, normalised: `[n, 1, 8, 8]` to `[n, 256]`.
pub fn encoder(rng: &mut dyn RngCore) -> Sequential {
    let mut net = Sequential::new();
    for (i, (from, to)) in [(1, 16), (16, 32), (32, 64)].into_iter().enumerate() {
        let layer = i + 1;
        // Batch normalisation has a bias of its own.
        let conv = Conv2d::new(from, to, 3, rng).options(Conv::new().padding(1)).without_bias();
        net = net
            .named(&format!("conv{layer}"), conv)
            .named(&format!("bn{layer}"), BatchNorm2d::new(to))
            .push(Act::Relu);
        if i > 0 {
            net = net.push(MaxPool2d::new(Pool::new(2)));
        }
    }
    net.push(Flatten)
}

/// The encoder and a linear head.
#[derive(Clone, Debug)]
pub struct Net {
    /// The part that knows how digits look.
    pub encoder: Sequential,
    /// The part that knows the classes.
    pub fc: Linear,
}
module!(Net { encoder, fc });

impl Net {
    /// With random weights.
    pub fn new(classes: usize, rng: &mut dyn RngCore) -> Self {
        Self { encoder: encoder(rng), fc: Linear::new(FEATURES, classes, rng) }
    }

    /// What the head sees, `[n, 256]`.
    pub fn features(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        cx.within("encoder", |cx| self.encoder.forward(x, cx))
    }
}

impl Forward for Net {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let features = self.features(x, cx)?;
        cx.within("fc", |cx| self.fc.forward(&features, cx))
    }
}
