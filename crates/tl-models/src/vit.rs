//! Vision transformers, with timm's names.

use crate::{Backbone, Interpolation, Preprocess, backbone::run_all};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use tl_nn::{
    Conv, Conv2d, Ctx, Error, Forward, LayerNorm, Linear, Param, Result, Tensor, TokenEncoder,
    Within, init::truncated_normal, module,
};
use tl_tensor::{Activation, Attention};

/// The shape of a [`VisionTransformer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitConfig {
    /// Height and width of an image.
    pub image: usize,
    /// Height and width of a patch.
    pub patch: usize,
    /// Numbers of a token.
    pub width: usize,
    /// Blocks.
    pub depth: usize,
    /// Attention heads; a divisor of the width.
    pub heads: usize,
    /// Hidden units of the feed-forward network.
    pub hidden: usize,
    /// Outputs of the head.
    pub classes: usize,
}

impl VitConfig {
    fn patch16(width: usize, heads: usize) -> Self {
        Self { image: 224, patch: 16, width, depth: 12, heads, hidden: 4 * width, classes: 1000 }
    }

    /// timm's `vit_tiny_patch16_224`: 5.7 million parameters.
    pub fn tiny() -> Self {
        Self::patch16(192, 3)
    }

    /// timm's `vit_small_patch16_224`: 22 million parameters.
    pub fn small() -> Self {
        Self::patch16(384, 6)
    }
}

fn linear(inputs: usize, outputs: usize, rng: &mut dyn RngCore) -> Result<Linear> {
    Ok(Linear {
        weight: Param::new(truncated_normal([outputs, inputs], 0.0, 0.02, 100.0, rng)?),
        bias: Some(Param::new(Tensor::zeros(outputs))),
    })
}

#[derive(Clone, Debug)]
struct PatchEmbed {
    proj: Conv2d,
}
module!(PatchEmbed { proj });

#[derive(Clone, Debug)]
struct VitAttention {
    qkv: Linear,
    proj: Linear,
    heads: usize,
}
module!(VitAttention { qkv, proj; skip heads });

impl Forward for VitAttention {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let &[n, l, d] = x.dims() else {
            return Err(Error::argument(
                "VitAttention",
                "x",
                format!("{:?}", x.dims()),
                "[n, l, d]",
            ));
        };
        // [n, l, 3, heads, d / heads] as three of [n, heads, l, d / heads].
        let qkv = self.qkv.forward(x, cx).within("qkv")?;
        let qkv = qkv.reshape([n, l, 3, self.heads, d / self.heads])?.permute(&[2, 0, 3, 1, 4])?;
        let (q, k, v) = (qkv.select(0, 0)?, qkv.select(0, 1)?, qkv.select(0, 2)?);
        let y = Attention::new().forward(&q, &k, &v)?.transpose(1, 2)?.flatten(2, 3)?;
        self.proj.forward(&y, cx).within("proj")
    }
}

#[derive(Clone, Debug)]
struct VitMlp {
    fc1: Linear,
    fc2: Linear,
}
module!(VitMlp { fc1, fc2 });

/// A block of the encoder: `x + attn(norm1(x))`, then `x + mlp(norm2(x))`.
#[derive(Clone, Debug)]
pub struct VitBlock {
    norm1: LayerNorm,
    attn: VitAttention,
    norm2: LayerNorm,
    mlp: VitMlp,
}
module!(VitBlock { norm1, attn, norm2, mlp });

impl VitBlock {
    fn new(config: &VitConfig, rng: &mut dyn RngCore) -> Result<Self> {
        let (d, hidden) = (config.width, config.hidden);
        let attn = VitAttention {
            qkv: linear(d, 3 * d, rng)?,
            proj: linear(d, d, rng)?,
            heads: config.heads,
        };
        let mlp = VitMlp { fc1: linear(d, hidden, rng)?, fc2: linear(hidden, d, rng)? };
        let norm = || LayerNorm::new(d).eps(1e-6);
        Ok(Self { norm1: norm(), attn, norm2: norm(), mlp })
    }
}

impl Forward for VitBlock {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let y = self.norm1.forward(x, cx)?;
        let x = x.add(&cx.within("attn", |cx| self.attn.forward(&y, cx))?)?;
        let y = self.norm2.forward(&x, cx)?;
        let hidden = self.mlp.fc1.forward_with(&y, Activation::Gelu, cx).within("mlp.fc1")?;
        Ok(x.add(&self.mlp.fc2.forward(&hidden, cx).within("mlp.fc2")?)?)
    }
}

/// A vision transformer (Dosovitskiy et al. 2021) with timm's names: a class
/// token, learned positions, normalisation before each part (eps 1e-6), the
/// class token after the last normalisation as the embedding. Its taps are
/// `patch_embed`, `blocks` (also `blocks.0` ..) and `features`; its head is
/// `head`. Images have to be of the size of the configuration.
#[derive(Clone, Debug)]
pub struct VisionTransformer {
    /// `[1, 1, d]`.
    pub cls_token: Param,
    /// `[1, 1 + patches, d]`.
    pub pos_embed: Param,
    patch_embed: PatchEmbed,
    /// The encoder.
    pub blocks: Vec<VitBlock>,
    /// After it.
    pub norm: LayerNorm,
    /// The classifier.
    pub head: Linear,
    image: usize,
}
module!(VisionTransformer { cls_token, pos_embed, patch_embed, blocks, norm, head; skip image });

impl VisionTransformer {
    /// The class token and these tokens through all blocks.
    fn run(&self, tokens: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let (n, d) = (tokens.dims()[0], tokens.dims()[2]);
        let position = self.pos_embed.adapted()?.narrow(1, 0, 1)?;
        let class = self.cls_token.adapted()?.add(&position)?.broadcast_to([n, 1, d])?;
        let x = Tensor::cat(&[&class, tokens], 1)?;
        cx.within("blocks", |cx| run_all(&self.blocks, &x, cx))
    }
}

/// Patches as tokens; the head has no part in them.
impl TokenEncoder for VisionTransformer {
    fn tokens(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let patches = cx.within("patch_embed", |cx| {
            Ok(self.patch_embed.proj.forward(x, cx)?.flatten(2, 3)?.transpose(1, 2)?)
        })?;
        let positions = self.pos_embed.adapted()?;
        Ok(patches.add(&positions.narrow(1, 1, positions.dims()[1] - 1)?)?)
    }

    fn encode(&self, tokens: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let x = self.run(tokens, cx)?;
        self.norm.forward(&x.narrow(1, 1, tokens.dims()[1])?, cx).within("norm")
    }

    fn unused(&self) -> Option<&'static str> {
        Some("head.**")
    }
}

impl Backbone for VisionTransformer {
    type Config = VitConfig;

    fn new(config: &VitConfig, rng: &mut dyn RngCore) -> Result<Self> {
        let d = config.width;
        let divides = |a: usize, b: usize| a > 0 && b > 0 && b.is_multiple_of(a);
        if !divides(config.heads, d) || !divides(config.patch, config.image) {
            let expected = "heads that divide the width and patches that divide the image";
            return Err(Error::argument(
                "VisionTransformer",
                "config",
                format!("{config:?}"),
                expected,
            ));
        }
        let patches = (config.image / config.patch).pow(2);
        let proj = Conv2d::new(3, d, config.patch, rng).options(Conv::new().stride(config.patch));
        let position = truncated_normal([1, 1 + patches, d], 0.0, 0.02, 100.0, rng)?;
        let blocks =
            (0..config.depth).map(|_| VitBlock::new(config, rng)).collect::<Result<_>>()?;
        Ok(Self {
            cls_token: Param::new(truncated_normal([1, 1, d], 0.0, 1e-6, 100.0, rng)?),
            pos_embed: Param::new(position),
            patch_embed: PatchEmbed { proj },
            blocks,
            norm: LayerNorm::new(d).eps(1e-6),
            head: linear(d, config.classes, rng)?,
            image: config.image,
        })
    }

    fn with_classes(config: &VitConfig, classes: usize) -> VitConfig {
        VitConfig { classes, ..config.clone() }
    }

    fn features(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let x = self.run(&self.tokens(x, cx)?, cx)?;
        let y = self.norm.forward(&x.select(1, 0)?, cx).within("norm")?;
        cx.tap("features", &y);
        Ok(y)
    }

    fn feature_size(&self) -> usize {
        self.norm.weight.numel()
    }

    fn head(&self) -> &'static str {
        "head"
    }

    fn head_mut(&mut self) -> &mut Linear {
        &mut self.head
    }

    /// That of timm's AugReg weights: resized to the image size over 0.9,
    /// bicubic, mean and deviation 0.5.
    fn preprocess(&self) -> Preprocess {
        Preprocess {
            resize: self.image * 10 / 9,
            interpolation: Interpolation::Bicubic,
            ..Preprocess::plain(self.image, 3, 0.5, 0.5)
        }
    }
}

impl Forward for VisionTransformer {
    fn forward(&self, x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
        let features = self.features(x, cx)?;
        cx.within("head", |cx| self.head.forward(&features, cx))
    }
}
