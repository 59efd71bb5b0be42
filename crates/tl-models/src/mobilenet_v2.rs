//! MobileNetV2, with torchvision's names.

use crate::{Backbone, Preprocess};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use tl_nn::{
    Act, BatchNorm2d, Conv, Conv2d, Ctx, Dropout, Error, Forward, Linear, Param, Result,
    Sequential, Tensor,
    init::{Fan, Gain, kaiming_normal, normal},
    module,
};

/// A stage of inverted residual blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvertedStage {
    /// How much wider the inside of a block is than its input.
    pub expand: usize,
    /// Channels of the output.
    pub channels: usize,
    /// Blocks.
    pub repeats: usize,
    /// Stride of the first block.
    pub stride: usize,
}

/// The shape of a [`MobileNetV2`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MobileNetV2Config {
    /// Channels of the stem.
    pub stem: usize,
    /// The stages.
    pub stages: Vec<InvertedStage>,
    /// Channels of the last convolution: the size of the embedding.
    pub last: usize,
    /// Outputs of the head.
    pub classes: usize,
}

impl Default for MobileNetV2Config {
    /// Width 1.0 for ImageNet (table 2 of the paper): 3.5 million parameters.
    fn default() -> Self {
        let stage = |(expand, channels, repeats, stride)| InvertedStage {
            expand,
            channels,
            repeats,
            stride,
        };
        let stages = [
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ];
        Self { stem: 32, stages: stages.map(stage).to_vec(), last: 1280, classes: 1000 }
    }
}

fn conv(
    io: [usize; 2],
    kernel: usize,
    stride: usize,
    groups: usize,
    rng: &mut dyn RngCore,
) -> Conv2d {
    let [inputs, outputs] = io;
    let mut conv = Conv2d::grouped(inputs, outputs, [kernel; 2], groups, rng)
        .options(Conv::new().stride(stride).padding(kernel / 2).groups(groups))
        .without_bias();
    let shape = [outputs, inputs / groups, kernel, kernel];
    conv.weight = Param::new(kaiming_normal(shape, Gain::Relu, Fan::Out, rng));
    conv
}

fn conv_bn_relu6(
    io: [usize; 2],
    kernel: usize,
    stride: usize,
    groups: usize,
    rng: &mut dyn RngCore,
) -> Sequential {
    Sequential::new()
        .push(conv(io, kernel, stride, groups, rng))
        .push(BatchNorm2d::new(io[1]))
        .push(Act::Relu6)
}

/// Expansion, depth-wise convolution and linear projection, with a shortcut
/// where the shapes allow it.
#[derive(Clone, Debug)]
struct InvertedResidual {
    conv: Sequential,
    shortcut: bool,
}
module!(InvertedResidual { conv; skip shortcut });

impl InvertedResidual {
    fn new(inputs: usize, stage: InvertedStage, stride: usize, rng: &mut dyn RngCore) -> Self {
        let hidden = inputs * stage.expand;
        let mut layers = Sequential::new();
        if stage.expand != 1 {
            layers = layers.push(conv_bn_relu6([inputs, hidden], 1, 1, 1, rng));
        }
        let layers = layers
            .push(conv_bn_relu6([hidden, hidden], 3, stride, hidden, rng))
            .push(conv([hidden, stage.channels], 1, 1, 1, rng))
            .push(BatchNorm2d::new(stage.channels));
        Self { conv: layers, shortcut: stride == 1 && inputs == stage.channels }
    }
}

impl Forward for InvertedResidual {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let y = cx.within("conv", |cx| self.conv.forward(x, cx))?;
        if self.shortcut { Ok(x.add(&y)?) } else { Ok(y) }
    }
}

#[derive(Clone, Debug)]
struct Classifier {
    linear: Linear,
    dropout: Dropout,
}
module!(Classifier { linear as "1"; skip dropout });

/// MobileNetV2 (Sandler et al. 2018) with torchvision's names. Its taps are
/// `features.0` to `features.18` and `features` twice, before and after
/// pooling (the last one is the embedding); its head is `classifier.1`, with
/// dropout 0.2 before it.
#[derive(Clone, Debug)]
pub struct MobileNetV2 {
    /// Stem, blocks and the last convolution.
    pub features: Sequential,
    classifier: Classifier,
}
module!(MobileNetV2 { features, classifier });

impl Backbone for MobileNetV2 {
    type Config = MobileNetV2Config;

    fn new(config: &MobileNetV2Config, rng: &mut dyn RngCore) -> Result<Self> {
        let bad = |s: &InvertedStage| s.expand * s.channels * s.repeats * s.stride == 0;
        if config.stem == 0 || config.last == 0 || config.stages.iter().any(bad) {
            let got = format!("{config:?}");
            return Err(Error::argument("MobileNetV2", "config", got, "numbers above 0"));
        }
        let mut features = Sequential::new().push(conv_bn_relu6([3, config.stem], 3, 2, 1, rng));
        let mut inputs = config.stem;
        for stage in &config.stages {
            for block in 0..stage.repeats {
                let stride = if block == 0 { stage.stride } else { 1 };
                features = features.push(InvertedResidual::new(inputs, *stage, stride, rng));
                inputs = stage.channels;
            }
        }
        let features = features.push(conv_bn_relu6([inputs, config.last], 1, 1, 1, rng));
        let mut linear = Linear::new(config.last, config.classes, rng);
        linear.weight = Param::new(normal([config.classes, config.last], 0.0, 0.01, rng));
        linear.bias = Some(Param::new(Tensor::zeros(config.classes)));
        Ok(Self { features, classifier: Classifier { linear, dropout: Dropout::new(0.2) } })
    }

    fn with_classes(config: &MobileNetV2Config, classes: usize) -> MobileNetV2Config {
        MobileNetV2Config { classes, ..config.clone() }
    }

    fn features(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let x = cx.within("features", |cx| self.features.forward(x, cx))?;
        let pooled = x.mean([2, 3], false)?;
        cx.tap("features", &pooled);
        Ok(pooled)
    }

    fn feature_size(&self) -> usize {
        self.classifier.linear.weight.dims()[1]
    }

    fn head(&self) -> &'static str {
        "classifier.1"
    }

    fn head_mut(&mut self) -> &mut Linear {
        &mut self.classifier.linear
    }

    fn preprocess(&self) -> Preprocess {
        Preprocess::imagenet()
    }
}

impl Forward for MobileNetV2 {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let features = self.features(x, cx)?;
        let features = self.classifier.dropout.forward(&features, cx)?;
        cx.within("classifier.1", |cx| self.classifier.linear.forward(&features, cx))
    }
}
