//! The methods by name; a file for each, or for each family.

mod adda;
pub(crate) mod align;
mod cdan;
mod dann;
mod deep_jdot;
mod fix_match;
mod mcc;
mod mcd;
mod mdan;
mod mdd;
mod moments;
mod osbp;
mod pada;
mod pseudo;
mod shot;

pub(crate) use adda::{Adda, Players as AddaPlayers};
pub(crate) use mcd::{Mcd, Players as McdPlayers};
pub(crate) use pseudo::SelfTraining;
pub(crate) use shot::Shot;

use crate::{Domains, Error, MmdForm, Result, Validator};
use align::Align;
use serde::{Deserialize, Serialize};

/// How the domains are brought together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Method {
    /// Not at all: the baseline that any method has to beat.
    SourceOnly,
    /// Adversarial features (Ganin et al. 2016).
    Dann,
    /// Adversarial features given the prediction (Long et al. 2018), with
    /// entropy weights if `entropy` (CDAN+E).
    Cdan {
        /// Whether sure samples count more.
        entropy: bool,
        /// The width of the randomised map; none for the outer product of
        /// features and prediction, or 1,024 where that is wider than 4,096.
        random: Option<usize>,
    },
    /// CDAN+E and MCC together (Jin et al. 2020, section 4.4).
    CdanMcc {
        /// What MCC divides logits by (2.5).
        temperature: f64,
    },
    /// A target encoder that starts as the source's and fools a discriminator
    /// with inverted labels (Tzeng et al. 2017), at 0.03 of the discriminator's
    /// rate and normalised by target batches. Two stages.
    Adda,
    /// Two classifiers disagree on the target, the encoder learns to prevent it in
    /// `steps` steps for each of theirs (Saito et al. 2018; 4), at 0.3 of the rate.
    Mcd {
        /// Steps of the encoder.
        steps: usize,
    },
    /// Margin disparity discrepancy (Zhang et al. 2019); `γ` is 4 in the paper, and
    /// the gradient is reversed with at most 0.1 in the authors' code.
    Mdd {
        /// `e^margin`.
        gamma: f64,
    },
    /// DANN with the largest singular value of features penalised (BSP, Chen et
    /// al. 2019; weight 1e-4).
    Bsp {
        /// What the squared singular value is multiplied by.
        spectral: f64,
    },
    /// Multi-kernel discrepancy of features (Long et al. 2015).
    Dan {
        /// Which estimate.
        form: MmdForm,
    },
    /// Joint discrepancy of features and predictions (Long et al. 2017), the
    /// latter with one kernel as wide as their mean squared distance (the
    /// authors' code has a fixed width).
    Jan {
        /// Which estimate.
        form: MmdForm,
    },
    /// Covariances (Sun and Saenko 2016).
    DeepCoral,
    /// Central moments up to an order (Zellinger et al. 2017; 5).
    Cmd {
        /// The highest moment.
        order: i32,
    },
    /// Feature norms that grow by steps (SAFN, Xu et al. 2019), or to a radius
    /// (HAFN; 25 in the paper). The paper's features are batch-normalised before
    /// their ReLU: without that, norms grow by a direction that all samples share.
    Afn {
        /// The radius; none for steps, each as large as the batch's mean norm (the
        /// paper's are 1 for norms of some 10 to 25).
        radius: Option<f64>,
    },
    /// Less confusion among target classes (Jin et al. 2020; temperature 2.5).
    Mcc {
        /// What logits are divided by.
        temperature: f64,
    },
    /// A transport plan over features and labels (Damodaran et al. 2018).
    DeepJdot,
    /// The target's statistics in batch normalisation, after training (Li et al.
    /// 2018).
    AdaBn,
    /// Normalisation for each domain (Chang et al. 2019): first DANN, then
    /// class-balanced pseudo-labels. The model needs
    /// [`DomainBatchNorm`](crate::DomainBatchNorm) layers. Two stages.
    Dsbn,
    /// The source model alone, then information maximisation and pseudo-labels
    /// with a frozen head (Liang et al. 2020): source data are not needed then.
    /// Two stages; the first without the paper's smoothing of labels.
    Shot,
    /// The source model alone, then target samples with the classes that it names
    /// with this probability, anew every epoch (Lee 2013). Two stages.
    PseudoLabels {
        /// The least probability.
        confidence: f64,
    },
    /// The source model alone, then the surest part of each class, growing (CBST,
    /// Zou et al. 2018; 0.2 to 0.5). Two stages.
    Cbst {
        /// The part at first.
        first: f64,
        /// The part at last.
        last: f64,
    },
    /// The same class for a weak and a strong view of a target sample, where the
    /// weak one is sure (Sohn et al. 2020; 0.95).
    FixMatch {
        /// The least probability.
        confidence: f64,
    },
    /// Several sources, each with a discriminator (Zhao et al. 2018; `γ` 10).
    Mdan {
        /// How much the worst source counts: 0 is not allowed, large is the worst
        /// alone.
        gamma: f64,
    },
    /// Partial: the target has some of the source's classes (Cao et al. 2018).
    Pada,
    /// Open set: the target has classes that the source has not (Saito et al.
    /// 2018b). The head has one output more than the source has classes.
    ///
    /// It needs some thousand steps: what is unknown is called so only once the
    /// head has brought its probability to the boundary. Batch normalisation in the
    /// encoder hides what sets unknown samples apart, as each domain is normalised
    /// by itself.
    Osbp {
        /// The probability of "unknown" that the head aims at (0.5).
        boundary: f64,
    },
}

impl Method {
    /// All for one source with the same classes as the target, with the papers'
    /// settings. [`Dsbn`](Self::Dsbn) is not here: it needs its own layers.
    pub const CLOSED_SET: [Self; 21] = [
        Self::SourceOnly,
        Self::Dann,
        Self::Cdan { entropy: false, random: None },
        Self::Cdan { entropy: true, random: None },
        Self::CdanMcc { temperature: 2.5 },
        Self::Adda,
        Self::Mcd { steps: 4 },
        Self::Mdd { gamma: 4.0 },
        Self::Bsp { spectral: 1e-4 },
        Self::Dan { form: MmdForm::Unbiased },
        Self::Jan { form: MmdForm::Unbiased },
        Self::DeepCoral,
        Self::Cmd { order: 5 },
        Self::Afn { radius: None },
        Self::Mcc { temperature: 2.5 },
        Self::DeepJdot,
        Self::AdaBn,
        Self::Shot,
        Self::PseudoLabels { confidence: 0.9 },
        Self::Cbst { first: 0.2, last: 0.8 },
        Self::FixMatch { confidence: 0.95 },
    ];

    /// The name in the literature.
    pub fn name(self) -> &'static str {
        match self {
            Self::SourceOnly => "source only",
            Self::Dann => "DANN",
            Self::Cdan { entropy: false, .. } => "CDAN",
            Self::Cdan { entropy: true, .. } => "CDAN+E",
            Self::CdanMcc { .. } => "CDAN+E+MCC",
            Self::Adda => "ADDA",
            Self::Mcd { .. } => "MCD",
            Self::Mdd { .. } => "MDD",
            Self::Bsp { .. } => "BSP",
            Self::Dan { .. } => "DAN",
            Self::Jan { .. } => "JAN",
            Self::DeepCoral => "Deep CORAL",
            Self::Cmd { .. } => "CMD",
            Self::Afn { radius: None } => "SAFN",
            Self::Afn { radius: Some(_) } => "HAFN",
            Self::Mcc { .. } => "MCC",
            Self::DeepJdot => "DeepJDOT",
            Self::AdaBn => "AdaBN",
            Self::Dsbn => "DSBN",
            Self::Shot => "SHOT",
            Self::PseudoLabels { .. } => "pseudo-labels",
            Self::Cbst { .. } => "CBST",
            Self::FixMatch { .. } => "FixMatch",
            Self::Mdan { .. } => "MDAN",
            Self::Pada => "PADA",
            Self::Osbp { .. } => "OSBP",
        }
    }

    /// What adds to the source loss weighs this much by default.
    pub(crate) fn weight(self) -> f32 {
        match self {
            Self::Afn { .. } => 0.05,
            Self::Mdd { .. } => 0.1,
            Self::DeepCoral => 10.0,
            Self::DeepJdot => 0.1,
            _ => 1.0,
        }
    }

    /// What the epoch is chosen by unless said. None for the baselines, which
    /// must not see the target, where predictions are not to be spread over all
    /// classes, and where the paper's last epoch counts.
    pub(crate) fn validator(self) -> Option<Validator> {
        match self {
            Self::SourceOnly | Self::AdaBn | Self::Pada | Self::Osbp { .. } => None,
            Self::Adda | Self::Mcd { .. } | Self::Shot => None,
            _ => Some(Validator::default()),
        }
    }

    /// How many times the epochs it trains.
    pub fn stages(self) -> usize {
        match self {
            Self::Adda
            | Self::Dsbn
            | Self::Shot
            | Self::PseudoLabels { .. }
            | Self::Cbst { .. } => 2,
            _ => 1,
        }
    }

    /// What is added to the source loss in one stage of training, if that is all.
    pub(crate) fn align(self, domains: &Domains) -> Result<Option<Box<dyn Align>>> {
        Ok(Some(match self {
            Self::Dann => Box::new(dann::Dann { spectral: 0.0 }),
            Self::Bsp { spectral } => Box::new(dann::Dann { spectral }),
            Self::Cdan { entropy, random } => Box::new(cdan::Cdan::new(entropy, random)),
            Self::CdanMcc { temperature } => Box::new(cdan::CdanMcc::new(temperature)),
            Self::Mdd { gamma } => Box::new(mdd::Mdd { gamma }),
            Self::Dan { form } => Box::new(moments::Dan { form }),
            Self::Jan { form } => Box::new(moments::Jan { form }),
            Self::DeepCoral => Box::new(moments::DeepCoral),
            Self::Cmd { order } => Box::new(moments::Cmd { order }),
            Self::Afn { radius } => Box::new(moments::Afn { radius }),
            Self::Mcc { temperature } => Box::new(mcc::Mcc { temperature }),
            Self::DeepJdot => Box::new(deep_jdot::DeepJdot),
            Self::FixMatch { confidence } => {
                Box::new(fix_match::FixMatch { confidence, views: domains.the_views()? })
            }
            Self::Mdan { gamma } => Box::new(mdan::Mdan { gamma }),
            Self::Pada => Box::new(pada::Pada::default()),
            Self::Osbp { boundary } => Box::new(osbp::Osbp { boundary }),
            _ => return Ok(None),
        }))
    }

    /// That its numbers are in range.
    pub(crate) fn check(self) -> Result<()> {
        let wrong =
            |name, got: String, expected: &str| Err(Error::argument("method", name, got, expected));
        let part = |x: f64| (0.0..=1.0).contains(&x);
        match self {
            Self::Mcd { steps: 0 } => wrong("steps", "0".into(), "1 or more, 4 in the paper"),
            Self::Mdan { gamma } if !(gamma > 0.0 && gamma.is_finite()) => {
                wrong("gamma", gamma.to_string(), "a number above 0, 10 in the paper")
            }
            Self::Mdd { gamma: x }
            | Self::Mcc { temperature: x }
            | Self::CdanMcc { temperature: x }
            | Self::Afn { radius: Some(x) }
                if !(x > 0.0 && x.is_finite()) =>
            {
                wrong("gamma, temperature or radius", x.to_string(), "a number above 0")
            }
            Self::Cdan { random: Some(0), .. } => {
                wrong("random", "0".into(), "a width of 1 or more, or none")
            }
            Self::Bsp { spectral } if !(spectral > 0.0 && spectral.is_finite()) => {
                wrong("spectral", spectral.to_string(), "a number above 0, 1e-4 in the paper")
            }
            Self::PseudoLabels { confidence } | Self::FixMatch { confidence }
                if !part(confidence) =>
            {
                wrong("confidence", confidence.to_string(), "a probability")
            }
            Self::Cbst { first, last } if !(first > 0.0 && part(first) && part(last)) => {
                wrong("first, last", format!("{first}, {last}"), "parts of 1, the first above 0")
            }
            _ => Ok(()),
        }
    }
}
