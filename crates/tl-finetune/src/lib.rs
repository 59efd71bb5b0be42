//! Feature extraction and fine-tuning: a pre-trained model, made good at a small
//! data set.
//!
//! Begin with [`extract`] and [`linear_probe`]: seconds, and hard to beat with
//! few labels. With more labels, or data unlike the model's own, fine-tune:
//! [`FineTune`] with [`Method::LinearThenFull`]. [`Lora`] trains a few numbers
//! and saves a small file. Always compare with training from scratch.
//!
//! ```
//! # use rand::SeedableRng;
//! use tl_finetune::{extract, linear_probe, log_me};
//! use tl_nn::{Act, Ctx, Flatten, Forward, Linear, Sequential};
//! # fn main() -> tl_finetune::Result<()> {
//! # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
//! // Stands for a pre-trained encoder.
//! let encoder = Sequential::new()
//!     .push(Flatten).push(Linear::new(64, 128, &mut rng)).push(Act::Relu);
//! let (few, test) = tl_data::samples::digits().k_shot(5, &mut rng)?;
//! let features = extract(&few, 64, |x, cx| encoder.forward(x, cx))?;
//! let head = linear_probe(&features, 0)?;
//!
//! let test = extract(&test, 256, |x, cx| encoder.forward(x, cx))?;
//! let logits = head.forward(test.features(), &mut Ctx::eval())?;
//! let accuracy = tl_nn::metric::accuracy(&logits, &test.labels()?.into())?;
//! assert!(accuracy > 0.75);
//! // How promising features are, without training anything:
//! assert!(log_me(features.features(), features.labels()?, 10)?.is_finite());
//! # Ok(())
//! # }
//! ```
//!
//! | method | here | source |
//! |---|---|---|
//! | linear probe | [`extract`], [`linear_probe`] | |
//! | fine-tuning, discriminative rates | [`Method::Full`] | |
//! | LP-FT | [`Method::LinearThenFull`] | Kumar et al. 2022 |
//! | gradual unfreezing | [`Method::Gradual`] | Howard and Ruder 2018 |
//! | L2-SP, BSS | [`StartingPoint::l2_sp`], [`spectral_shrinkage`] | Li 2018, Chen 2019 |
//! | LoRA, rsLoRA | [`Lora`] | Hu et al. 2022, Kalajdzievski 2023 |
//! | WiSE-FT, soups | [`interpolate`], [`soup`] | Wortsman et al. 2022 |
//! | LogME, LEEP, H-score | [`log_me`], [`leep`], [`h_score`] | You 2021, Nguyen 2020, Bao 2019 |

mod average;
mod error;
mod lora;
mod penalty;
mod probe;
mod transferability;
mod tune;

pub use average::{interpolate, soup};
pub use error::{Error, Result};
pub use lora::{Lora, LoraConfig};
pub use penalty::{StartingPoint, spectral_shrinkage};
pub use probe::{extract, linear_probe};
pub use transferability::{h_score, leep, log_me};
pub use tune::{FineTune, Method};
