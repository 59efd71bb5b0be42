//! The network of the few-shot literature.

use crate::{Backbone, Preprocess, backbone::run_all};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use tl_nn::{BatchNorm2d, Conv, Conv2d, Ctx, Error, Forward, Linear, Pool, Result, Tensor, module};

/// The shape of a [`Conv4`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv4Config {
    /// Channels of an image.
    pub channels: usize,
    /// Channels of every block; 64 in the papers.
    pub width: usize,
    /// Height and width of an image; at least 16, each block halves it.
    pub image: usize,
    /// Outputs of the head.
    pub classes: usize,
}

impl Default for Conv4Config {
    /// Omniglot's: one channel, 28×28, 64 channels, five classes.
    fn default() -> Self {
        Self { channels: 1, width: 64, image: 28, classes: 5 }
    }
}

#[derive(Clone, Debug)]
struct ConvBlock {
    conv: Conv2d,
    norm: BatchNorm2d,
}
module!(ConvBlock { conv as "0", norm as "1" });

impl Forward for ConvBlock {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let y = self.norm.forward(&self.conv.forward(x, cx)?, cx)?;
        Ok(y.relu().max_pool2d(Pool::new(2))?)
    }
}

/// Four blocks of a 3×3 convolution, batch normalisation, ReLU and
/// max-pooling by 2 (Vinyals et al. 2016; Snell et al. 2017), flattened. Its
/// taps are `encoder.0` to `encoder.3` and `features`; its head is
/// `classifier`. Names are those of the prototypical networks' encoder.
#[derive(Clone, Debug)]
pub struct Conv4 {
    encoder: Vec<ConvBlock>,
    /// The classifier.
    pub classifier: Linear,
    image: usize,
    channels: usize,
}
module!(Conv4 { encoder, classifier; skip image, channels });

impl Backbone for Conv4 {
    type Config = Conv4Config;

    fn new(config: &Conv4Config, rng: &mut dyn RngCore) -> Result<Self> {
        if config.image < 16 || config.width == 0 || config.channels == 0 {
            let got = format!("{config:?}");
            return Err(Error::argument(
                "Conv4",
                "config",
                got,
                "images of 16 or more, and channels",
            ));
        }
        let block = |i: usize| {
            let inputs = if i == 0 { config.channels } else { config.width };
            ConvBlock {
                conv: Conv2d::new(inputs, config.width, 3, rng).options(Conv::new().padding(1)),
                norm: BatchNorm2d::new(config.width),
            }
        };
        let encoder = (0..4).map(block).collect();
        let size = config.width * (config.image / 16) * (config.image / 16);
        let classifier = Linear::new(size, config.classes, rng);
        Ok(Self { encoder, classifier, image: config.image, channels: config.channels })
    }

    fn with_classes(config: &Conv4Config, classes: usize) -> Conv4Config {
        Conv4Config { classes, ..config.clone() }
    }

    fn features(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let x = cx.within("encoder", |cx| run_all(&self.encoder, x, cx))?.flatten(1, -1)?;
        cx.tap("features", &x);
        Ok(x)
    }

    fn feature_size(&self) -> usize {
        self.classifier.weight.dims()[1]
    }

    fn head(&self) -> &'static str {
        "classifier"
    }

    fn head_mut(&mut self) -> &mut Linear {
        &mut self.classifier
    }

    fn preprocess(&self) -> Preprocess {
        Preprocess::plain(self.image, self.channels, 0.0, 1.0)
    }
}

impl Forward for Conv4 {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let features = self.features(x, cx)?;
        cx.within("classifier", |cx| self.classifier.forward(&features, cx))
    }
}
