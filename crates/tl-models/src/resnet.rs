//! Residual networks, with torchvision's names.

use crate::{Backbone, Preprocess, backbone::run_all};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use tl_nn::{
    BatchNorm2d, Conv, Conv2d, Ctx, Error, Forward, Linear, Param, Pool, Result, Tensor, Within,
    init::{Fan, Gain, kaiming_normal},
    module,
};

/// The shape of a [`ResNet`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNetConfig {
    /// Blocks of three convolutions that widen by four, instead of two.
    pub bottleneck: bool,
    /// Blocks of each of the four stages.
    pub blocks: [usize; 4],
    /// Channels of the stem and of the first stage; they double from stage to
    /// stage. 64 in the paper.
    pub width: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Outputs of the head.
    pub classes: usize,
}

impl ResNetConfig {
    fn paper(bottleneck: bool, blocks: [usize; 4]) -> Self {
        Self { bottleneck, blocks, width: 64, channels: 3, classes: 1000 }
    }

    /// ResNet-18 for ImageNet: 11.7 million parameters.
    pub fn resnet18() -> Self {
        Self::paper(false, [2, 2, 2, 2])
    }

    /// ResNet-34 for ImageNet: 21.8 million parameters.
    pub fn resnet34() -> Self {
        Self::paper(false, [3, 4, 6, 3])
    }

    /// ResNet-50 for ImageNet (torchvision's, with the stride in the 3×3
    /// convolution): 25.6 million parameters.
    pub fn resnet50() -> Self {
        Self::paper(true, [3, 4, 6, 3])
    }

    fn expansion(&self) -> usize {
        if self.bottleneck { 4 } else { 1 }
    }
}

fn conv(
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    rng: &mut dyn RngCore,
) -> Conv2d {
    let mut conv = Conv2d::new(inputs, outputs, kernel, rng)
        .options(Conv::new().stride(stride).padding(kernel / 2))
        .without_bias();
    let shape = [outputs, inputs, kernel, kernel];
    conv.weight = Param::new(kaiming_normal(shape, Gain::Relu, Fan::Out, rng));
    conv
}

/// The projection of a shortcut, a convolution and its normalisation.
#[derive(Clone, Debug)]
struct Downsample {
    conv: Conv2d,
    norm: BatchNorm2d,
}
module!(Downsample { conv as "0", norm as "1" });

/// A residual block, `relu(branch(x) + shortcut(x))`: basic (two 3×3
/// convolutions) or bottleneck (1×1, 3×3, 1×1). He et al. 2016, figure 5.
#[derive(Clone, Debug)]
pub struct Block {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Option<Conv2d>,
    bn3: Option<BatchNorm2d>,
    downsample: Option<Downsample>,
}
module!(Block { conv1, bn1, conv2, bn2, conv3, bn3, downsample });

impl Block {
    fn new(
        config: &ResNetConfig,
        inputs: usize,
        width: usize,
        stride: usize,
        rng: &mut dyn RngCore,
    ) -> Self {
        let outputs = width * config.expansion();
        let (k, s1, s2) = if config.bottleneck { (1, 1, stride) } else { (3, stride, 1) };
        let project = stride != 1 || inputs != outputs;
        Self {
            conv1: conv(inputs, width, k, s1, rng),
            bn1: BatchNorm2d::new(width),
            conv2: conv(width, width, 3, s2, rng),
            bn2: BatchNorm2d::new(width),
            conv3: config.bottleneck.then(|| conv(width, outputs, 1, 1, rng)),
            bn3: config.bottleneck.then(|| BatchNorm2d::new(outputs)),
            downsample: project.then(|| Downsample {
                conv: conv(inputs, outputs, 1, stride, rng),
                norm: BatchNorm2d::new(outputs),
            }),
        }
    }
}

impl Forward for Block {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let y = self.bn1.forward(&self.conv1.forward(x, cx).within("conv1")?, cx)?.relu();
        let mut y = self.bn2.forward(&self.conv2.forward(&y, cx).within("conv2")?, cx)?;
        if let (Some(conv3), Some(bn3)) = (&self.conv3, &self.bn3) {
            y = bn3.forward(&conv3.forward(&y.relu(), cx).within("conv3")?, cx)?;
        }
        let shortcut = match &self.downsample {
            Some(down) => down.norm.forward(&down.conv.forward(x, cx).within("downsample")?, cx)?,
            None => x.clone(),
        };
        Ok(y.add(&shortcut)?.relu())
    }
}

/// A residual network (He et al. 2016) with torchvision's names. Its taps are
/// `conv1`, `layer1` to `layer4` (also `layer1.0` ..) and `features`; its head
/// is `fc`.
#[derive(Clone, Debug)]
pub struct ResNet {
    /// The 7×7 convolution of stride 2.
    pub conv1: Conv2d,
    /// After it.
    pub bn1: BatchNorm2d,
    /// The first stage, of full size.
    pub layer1: Vec<Block>,
    /// The second, of half the size.
    pub layer2: Vec<Block>,
    /// The third, of a quarter.
    pub layer3: Vec<Block>,
    /// The fourth, of an eighth.
    pub layer4: Vec<Block>,
    /// The classifier.
    pub fc: Linear,
}
module!(ResNet { conv1, bn1, layer1, layer2, layer3, layer4, fc });

impl Backbone for ResNet {
    type Config = ResNetConfig;

    fn new(config: &ResNetConfig, rng: &mut dyn RngCore) -> Result<Self> {
        if config.width == 0 || config.blocks.contains(&0) {
            let got = format!("{config:?}");
            return Err(Error::argument(
                "ResNet",
                "config",
                got,
                "a width and blocks in every stage",
            ));
        }
        let conv1 = Conv2d {
            conv: Conv::new().stride(2).padding(3),
            ..conv(config.channels, config.width, 7, 2, rng)
        };
        let mut inputs = config.width;
        let mut stage = |i: usize| -> Vec<Block> {
            let width = config.width << i;
            (0..config.blocks[i])
                .map(|b| {
                    let stride = if b == 0 && i > 0 { 2 } else { 1 };
                    let block = Block::new(config, inputs, width, stride, rng);
                    inputs = width * config.expansion();
                    block
                })
                .collect()
        };
        let (layer1, layer2, layer3, layer4) = (stage(0), stage(1), stage(2), stage(3));
        let fc = Linear::new(inputs, config.classes, rng);
        Ok(Self { conv1, bn1: BatchNorm2d::new(config.width), layer1, layer2, layer3, layer4, fc })
    }

    fn with_classes(config: &ResNetConfig, classes: usize) -> ResNetConfig {
        ResNetConfig { classes, ..config.clone() }
    }

    fn features(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let x = cx.within("conv1", |cx| self.conv1.forward(x, cx))?;
        let x = self.bn1.forward(&x, cx).within("bn1")?.relu();
        let mut x = x.max_pool2d(Pool::new(3).stride(2).padding(1))?;
        let stages = [&self.layer1, &self.layer2, &self.layer3, &self.layer4];
        for (stage, name) in stages.into_iter().zip(["layer1", "layer2", "layer3", "layer4"]) {
            x = cx.within(name, |cx| run_all(stage, &x, cx))?;
        }
        let pooled = x.mean([2, 3], false)?;
        cx.tap("features", &pooled);
        Ok(pooled)
    }

    fn feature_size(&self) -> usize {
        self.fc.weight.dims()[1]
    }

    fn head(&self) -> &'static str {
        "fc"
    }

    fn head_mut(&mut self) -> &mut Linear {
        &mut self.fc
    }

    fn preprocess(&self) -> Preprocess {
        Preprocess::imagenet()
    }
}

impl Forward for ResNet {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let features = self.features(x, cx)?;
        cx.within("fc", |cx| self.fc.forward(&features, cx))
    }
}
