//! Back-bones for transfer learning, with the state-dict names of their
//! PyTorch home, so that a checkpoint from there loads here and the other way
//! round.
//!
//! A model is a plain value with public fields. Every one of images is a
//! [`Backbone`]: [`features`](Backbone::features) gives the pooled embedding,
//! `forward` the logits, [`head`](Backbone::head) the path of the classifier,
//! [`preprocess`](Backbone::preprocess) what the weights expect of an image.
//! Intermediate results are taps of the [`Ctx`](tl_nn::Ctx), by path.
//!
//! ```
//! # use rand::SeedableRng;
//! use tl_models::{Backbone, ResNet, ResNetConfig};
//! use tl_nn::{Ctx, ModuleExt, Tensor};
//! # fn main() -> tl_nn::Result<()> {
//! # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
//! let mut net = ResNet::new(&ResNetConfig::resnet18(), &mut rng)?;
//! // With weights: ResNet::from_safetensors(&config, "resnet18.safetensors")?
//! net.reset_head(10, &mut rng);
//! net.freeze("conv1.**|bn1.**|layer*.**")?;
//! let mut cx = Ctx::eval().capture("layer3")?;
//! let embedding = net.features(&Tensor::zeros([1, 3, 64, 64]), &mut cx)?;
//! assert_eq!(embedding.dims(), [1, 512]);
//! assert_eq!(cx.tapped("layer3").map(|t| t.dims()[1]), Some(256));
//! # Ok(())
//! # }
//! ```
//!
//! | model | names of | paper |
//! |---|---|---|
//! | [`ResNet`] 18, 34, 50 | torchvision | He et al. 2016 |
//! | [`MobileNetV2`] | torchvision | Sandler et al. 2018 |
//! | [`EfficientNetLite`] 0 | PyPI `efficientnet-lite-pytorch` | Tan and Le 2019, without squeeze-excitation |
//! | [`VisionTransformer`] tiny, small | timm | Dosovitskiy et al. 2021; Touvron et al. 2021 |
//! | [`Bert`], MiniLM | Hugging Face | Devlin et al. 2019; Wang et al. 2020 |
//! | [`DistilBert`] | Hugging Face | Sanh et al. 2019 |
//! | [`LeNet`], [`Conv4`], [`Mlp`] | – | LeCun et al. 1998; Vinyals et al. 2016 |
//!
//! [`SentenceEmbedder`] turns sentences into unit vectors; its tokenizer is
//! behind the feature `tokenizer`.

mod backbone;
mod conv4;
mod efficientnet_lite;
mod lenet;
mod mlp;
mod mobilenet_v2;
mod preprocess;
mod resnet;
mod text;
mod vit;
mod weights;

pub use backbone::Backbone;
pub use conv4::{Conv4, Conv4Config};
pub use efficientnet_lite::{EfficientNetLite, EfficientNetLiteConfig, LiteBlock, LiteStage};
pub use lenet::LeNet;
pub use mlp::Mlp;
pub use mobilenet_v2::{InvertedStage, MobileNetV2, MobileNetV2Config};
pub use preprocess::{Interpolation, Preprocess};
pub use resnet::{Block, ResNet, ResNetConfig};
pub use text::{
    Bert, BertConfig, BertForSequenceClassification, DistilBert, DistilBertConfig, Prefix, Prompt,
    SentenceClassifier, TextBatch, TextModel, mean_pooling,
};
#[cfg(feature = "tokenizer")]
pub use text::{SentenceEmbedder, WordPiece};
pub use vit::{VisionTransformer, VitBlock, VitConfig};
pub use weights::load_pretrained;
