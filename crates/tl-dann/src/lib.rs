//! Domain adaptation: labels in one domain, a model that works in another.
//!
//! # When
//! Use it where samples of the new domain are plenty but unlabelled, and its
//! classes are the same. It can do harm: features that are forced together may
//! put classes together that are not (negative transfer). So compare with
//! [`Method::SourceOnly`], look at [`shift_test`] and [`proxy_a_distance`]
//! first, and label a few samples if you can ([`Domains::few`]): ten of each class
//! often beat any method here.
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
//! Adaptation::new(Method::Mcc { temperature: 2.5 }).epochs(2).fit(&mut model, &source, &target)?;
//! # Ok(())
//! # }
//! ```
//!
//!
//! | method | by name | as a loss | source |
//! |---|---|---|---|
//! | DANN | [`Method::Dann`] | [`reverse`], [`domain_loss`] | Ganin et al. 2016 |
//! | CDAN, CDAN+E, with MCC | [`Method::Cdan`], [`Method::CdanMcc`] | [`multilinear`], [`entropy_weights`] | Long et al. 2018 |
//! | ADDA | [`Method::Adda`] | [`domain_loss`] | Tzeng et al. 2017 |
//! | MCD | [`Method::Mcd`] | [`mcd_discrepancy`] | Saito et al. 2018 |
//! | MDD | [`Method::Mdd`] | [`mdd_loss`] | Zhang et al. 2019 |
//! | BSP | [`Method::Bsp`] | [`spectral_penalty`] | Chen et al. 2019 |
//! | DAN, JAN | [`Method::Dan`], [`Method::Jan`] | [`mmd`], [`joint_mmd`] | Long et al. 2015, 2017 |
//! | Deep CORAL | [`Method::DeepCoral`] | [`coral`] | Sun and Saenko 2016 |
//! | CMD | [`Method::Cmd`] | [`central_moments`] | Zellinger et al. 2017 |
//! | AFN | [`Method::Afn`] | [`feature_norm`], [`hard_feature_norm`] | Xu et al. 2019 |
//! | MCC | [`Method::Mcc`] | [`class_confusion`] | Jin et al. 2020 |
//! | DeepJDOT | [`Method::DeepJdot`] | [`joint_cost`], [`sinkhorn`] | Damodaran et al. 2018 |
//! | AdaBN | [`Method::AdaBn`] | [`adapt_batch_norm`], [`StreamNorm`] | Li et al. 2018 |
//! | DSBN | [`Method::Dsbn`] | [`DomainBatchNorm`], [`InDomain`] | Chang et al. 2019 |
//! | TENT | [`Tent`] | [`entropy`] | Wang et al. 2021 |
//! | SHOT | [`Method::Shot`] | [`information_maximisation`] | Liang et al. 2020 |
//! | pseudo-labels, CBST | [`Method::PseudoLabels`], [`Method::Cbst`] | [`pseudo_labels`] | Lee 2013, Zou et al. 2018 |
//! | FixMatch | [`Method::FixMatch`] | [`pseudo_label_loss`] | Sohn et al. 2020 |
//! | several sources: MDAN | [`Method::Mdan`] | | Zhao et al. 2018 |
//! | partial: PADA | [`Method::Pada`] | | Cao et al. 2018 |
//! | open set: OSBP | [`Method::Osbp`], [`OpenSet`] | [`open_set_loss`] | Saito et al. 2018b |
//!
//! On features from anywhere: [`align_coral`] (Sun et al. 2016),
//! [`align_subspaces`] (Fernando et al. 2013), [`transfer_components`] (Pan et al.
//! 2011), [`geodesic_flow`] (Gong et al. 2012), [`Jdot`], [`propagate_labels`],
//! [`transport_map`] (Courty et al. 2017); as weights of source samples
//! [`kernel_mean_matching`] (Huang et al. 2007), [`logistic_ratio`] (Bickel et al.
//! 2009), with [`importance_weighted_risk`] (Sugiyama et al. 2007).
//!
//! Settings: several sources and a few target labels by [`Domains`]; a source
//! with rare classes by [`Adaptation::balanced`]; without source data
//! [`Adaptation::fit_source_free`]; while predicting [`Tent`], [`StreamNorm`].
//!
//! Choosing: [`Adaptation::validator`] keeps an epoch, [`choose`] one of several
//! settings, [`Report`] says what an oracle would have taken. Looking:
//! [`shift_test`], [`diagnose`], [`Transfer`] (which classes were harmed),
//! [`Embedding`] (both domains in a plane).

mod adaptation;
mod classifier;
mod diagnose;
mod domains;
mod error;
mod loss;
mod method;
mod norm;
mod objective;
mod report;
mod run;
mod shallow;
mod validate;

pub use adaptation::{Adaptation, Adapted};
pub use classifier::{Classifier, Seen};
pub use diagnose::{
    ClassTransfer, Diagnosis, Embedding, OpenSet, Projection, ShiftTest, Transfer, Warning,
    diagnose, proxy_a_distance, shift_test, warnings,
};
pub use domains::Domains;
pub use error::{Error, Result};
pub use loss::{
    Discriminator, Kernels, MmdForm, Selection, central_moments, class_confusion, coral,
    domain_loss, entropy, entropy_weights, feature_norm, hard_feature_norm,
    information_maximisation, joint_cost, joint_mmd, mcd_discrepancy, mdd_loss, mmd, multilinear,
    open_set_loss, pseudo_label_loss, pseudo_labels, reversal_strength, reverse, sinkhorn,
    spectral_penalty, transport_cost,
};
pub use method::Method;
pub use norm::{DomainBatchNorm, InDomain, StreamNorm, Tent, TentSettings, adapt_batch_norm};
pub use report::{Choice, Report, Scored};
pub use run::scores;
pub use shallow::{
    Jdot, align_coral, align_subspaces, geodesic_flow, importance_weighted_risk,
    kernel_mean_matching, logistic_ratio, propagate_labels, transfer_components, transport_map,
};
pub use validate::{Chosen, Evidence, Validator, choose};
