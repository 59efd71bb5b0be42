//! Self-supervised learning: an encoder from unlabelled samples, so that a
//! handful of labels is enough.
//!
//! Use it where samples are plenty and labels few, and you know changes that do
//! not change what a sample is (shifts, crops, noise). It does not help where
//! labels are plenty, or where such views are not known. Compare with principal
//! components and logistic regression, and with training from scratch.
//!
//! ```
//! # use rand::SeedableRng;
//! use tl_data::{samples, transform::RandomAffine};
//! use tl_nn::{Act, Ctx, Flatten, Forward, Linear, Sequential, shallow::LogisticRegression};
//! use tl_ssl::{Method, Pretrain};
//! # fn main() -> tl_ssl::Result<()> {
//! # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
//! let digits = samples::digits();
//! let mut encoder = Sequential::new()
//!     .push(Flatten).push(Linear::new(64, 64, &mut rng)).push(Act::Relu);
//! let views = RandomAffine::new().degrees(10.0).translate(0.12);
//! Pretrain::new(Method::vicreg()).epochs(3).fit(&mut encoder, &digits, &views)?;
//!
//! // Now a few labels.
//! let (few, test) = digits.k_shot(5, &mut rng)?;
//! let features = |x: &tl_nn::Tensor| encoder.forward(x, &mut Ctx::eval());
//! let probe = LogisticRegression::new().fit(&features(few.features())?, few.labels()?, 10)?;
//! let predicted = probe.predict(&features(test.features())?)?;
//! let right = predicted.iter().zip(test.labels()?).filter(|(p, y)| p == y).count();
//! assert!(right as f64 > 0.75 * test.len() as f64);
//! # Ok(())
//! # }
//! ```
//!
//! | method | here | source |
//! |---|---|---|
//! | SimCLR | [`Method::SimClr`], [`nt_xent`], [`nt_xent_views`] | Chen et al. 2020 |
//! | MoCo v2 | [`Method::MoCo`], [`info_nce`] | He et al. 2020, Chen et al. 2020 |
//! | SupCon | [`Method::SupCon`], [`sup_con`] | Khosla et al. 2020 |
//! | BYOL, SimSiam | [`Method::Byol`], [`Method::SimSiam`] | Grill et al. 2020, Chen and He 2021 |
//! | Barlow Twins | [`Method::BarlowTwins`], [`barlow_twins`] | Zbontar et al. 2021 |
//! | VICReg | [`Method::VicReg`], [`vicreg`] | Bardes et al. 2022 |
//! | SwAV, DINO, multi-crop | [`Method::SwAv`], [`Method::Dino`], [`Views::local`] | Caron et al. 2020, 2021 |
//! | rotation, jigsaw | [`Method::Rotation`], [`Method::Jigsaw`] | Gidaris et al. 2018, Noroozi and Favaro 2016 |
//! | colourisation, in-painting | [`Method::Colour`], [`Method::in_painting`] | Zhang et al. 2016, Pathak et al. 2016 |
//! | denoising | [`Method::Denoise`] | Vincent et al. 2008 |
//! | masked pixels | [`Method::Masked`] | Xie et al. 2022 |
//! | masked autoencoder | [`Mae`], [`mae_loss`] | He et al. 2022 |
//! | masked tokens | [`MaskTokens`] | Devlin et al. 2019 |
//! | SimCSE | [`SimCse`] of any text encoder, [`simcse`]; [`Method::simcse`] for rows | Gao et al. 2021 |
//! | TSDAE | [`Tsdae`], [`DeleteTokens`] | Wang et al. 2021 |
//! | SCARF | [`Scarf`] as a view, with [`Method::scarf`] | Bahri et al. 2022 |
//! | VIME | [`Method::Vime`] | Yoon et al. 2020 |
//! | gradient caching | [`gradient_cache`], [`Pretrain::chunk`] | Gao et al. 2021 |

mod corrupt;
mod error;
mod gradient_cache;
mod loss;
mod mae;
mod method;
mod monitor;
mod pretext;
mod pretrain;
mod same;
mod task;
mod text;
mod training;
mod views;
mod watch;

pub use corrupt::{Columns, HidePatches, MaskTokens, MaskedTokens, Scarf, SwapColumns, patchify};
pub use error::{Error, Result};
pub use gradient_cache::gradient_cache;
pub use loss::{
    VicReg, VicRegConvention, barlow_twins, dino, info_nce, mae_loss, negative_cosine, nt_xent,
    nt_xent_views, simcse, sinkhorn_assign, sup_con, swav, vicreg,
};
pub use mae::Mae;
pub use method::Method;
pub use monitor::{Health, alignment, health};
pub use pretrain::{Pretrain, Pretrained};
pub use same::Same;
pub use task::{byol_decay, projector};
pub use text::{DeleteTokens, SimCse, Tsdae};
pub use training::{Rule, Training};
pub use views::Views;
pub use watch::Watch;
