//! Domain adaptation: labels in one domain, a model that works in another.
//!
//! Use it where samples of the new domain are plenty but unlabelled, and its
//! classes are the same. It can do harm: features that are forced together may
//! put classes together that are not (negative transfer). So compare with
//! [`Method::SourceOnly`], look at [`shift_test`] and [`proxy_a_distance`]
//! first, and label a few samples if you can: ten of each class often beat any
//! method here.
//!
//! ```
//! # use rand::SeedableRng;
//! use tl_dann::{Adaptation, Classifier, Method, shift_test};
//! use tl_data::samples;
//! use tl_nn::{Act, Flatten, Linear, Sequential};
//! # fn main() -> tl_dann::Result<()> {
//! # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
//! // Handwritten digits of two origins, one labelled.
//! let (source, target) = (samples::digits(), samples::mnist_8x8().0.without_targets());
//! let flat = |x: &tl_nn::Tensor| x.flatten(1, -1);
//! let shift = shift_test(&flat(source.features())?, &flat(target.features())?, 20, 0)?;
//! assert!(shift.p < 0.05); // they differ
//!
//! let encoder = Sequential::new()
//!     .push(Flatten).push(Linear::new(64, 32, &mut rng)).push(Act::Relu);
//! let mut model = Classifier { encoder, head: Linear::new(32, 10, &mut rng) };
//! Adaptation::new(Method::Mcc).epochs(2).fit(&mut model, &source, &target)?;
//! # Ok(())
//! # }
//! ```
//!
//! | method | as a loss | source |
//! |---|---|---|
//! | DANN | [`reverse`], [`domain_loss`] | Ganin et al. 2016 |
//! | CDAN, CDAN+E | [`multilinear`], [`entropy_weights`] | Long et al. 2018 |
//! | MCD | [`mcd_discrepancy`] | Saito et al. 2018 |
//! | MDD | [`mdd_loss`] | Zhang et al. 2019 |
//! | DAN, JAN | [`mmd`], [`joint_mmd`] | Long et al. 2015, 2017 |
//! | Deep CORAL, CMD | [`coral`], [`central_moments`] | Sun and Saenko 2016, Zellinger et al. 2017 |
//! | AFN, BSP | [`feature_norm`], [`spectral_penalty`] | Xu et al. 2019, Chen et al. 2019 |
//! | MCC | [`class_confusion`] | Jin et al. 2020 |
//! | DeepJDOT | [`joint_cost`], [`sinkhorn`] | Damodaran et al. 2018 |
//! | AdaBN, DSBN, TENT | [`adapt_batch_norm`], [`DomainBatchNorm`], [`Tent`] | Li 2018, Chang 2019, Wang 2021 |
//! | SHOT | [`Method::Shot`], [`information_maximisation`] | Liang et al. 2020 |
//! | on features | [`align_coral`], [`align_subspaces`], [`transfer_components`] | Sun 2016, Fernando 2013, Pan 2011 |
//! | weights | [`kernel_mean_matching`], [`logistic_ratio`] | Huang et al. 2007, Bickel et al. 2009 |

mod adapt;
mod diagnose;
mod error;
mod loss;
mod norm;
mod report;
mod shallow;
mod validate;

pub use adapt::{Adaptation, Adapted, Classifier, Method, scores};
pub use diagnose::{ShiftTest, proxy_a_distance, shift_test};
pub use error::{Error, Result};
pub use loss::{
    Discriminator, Kernels, MmdForm, central_moments, class_confusion, coral, domain_loss, entropy,
    entropy_weights, feature_norm, information_maximisation, joint_cost, joint_mmd,
    mcd_discrepancy, mdd_loss, mmd, multilinear, pseudo_label_loss, reversal_strength, reverse,
    sinkhorn, spectral_penalty, transport_cost,
};
pub use norm::{DomainBatchNorm, Tent, TentSettings, adapt_batch_norm};
pub use report::{Report, Scored};
pub use shallow::{
    align_coral, align_subspaces, kernel_mean_matching, logistic_ratio, transfer_components,
};
pub use validate::{Evidence, Validator};
