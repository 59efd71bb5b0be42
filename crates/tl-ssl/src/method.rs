//! The methods by name, with their settings.

use crate::{
    Error, Result, VicReg,
    corrupt::{HidePatches, SwapColumns},
};
use serde::{Deserialize, Serialize};

/// What an encoder learns from unlabelled samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// Views of a sample are alike, others are not: [`nt_xent`](crate::nt_xent)
    /// (Chen et al. 2020).
    SimClr {
        /// Its temperature.
        temperature: f64,
    },
    /// As SimCLR, against a queue of earlier keys that a slow copy of the
    /// encoder made (He et al. 2020; v2 Chen et al. 2020): a small batch is
    /// enough. [`info_nce`](crate::info_nce) in both directions; the keys of the
    /// first view enter the queue after the step.
    #[serde(rename = "moco")]
    MoCo {
        /// The temperature.
        temperature: f64,
        /// The decay of the slow copy.
        momentum: f64,
        /// How many keys the queue holds.
        queue: usize,
    },
    /// Views of all samples of a class are alike: [`sup_con`](crate::sup_con)
    /// (Khosla et al. 2020). The only method that looks at labels.
    SupCon {
        /// The temperature.
        temperature: f64,
    },
    /// [`vicreg`](crate::vicreg) (Bardes et al. 2022).
    VicReg(VicReg),
    /// [`barlow_twins`](crate::barlow_twins) (Zbontar et al. 2021).
    BarlowTwins {
        /// What the redundancy weighs.
        lambda: f64,
    },
    /// A predictor follows a slow copy (Grill et al. 2020).
    Byol {
        /// The copy's decay at the beginning; it rises to 1 by a cosine, step by
        /// step. The paper has 0.996 for long runs; 0.99 suits short ones.
        decay: f64,
    },
    /// A predictor follows the other view, held constant (Chen and He 2021).
    SimSiam,
    /// Swapped assignments to prototypes (Caron et al. 2020).
    SwAv {
        /// How many prototypes.
        prototypes: usize,
    },
    /// All views predict what a slow copy says of the whole ones:
    /// [`dino`](crate::dino) (Caron et al. 2021). The centre moves by a tenth a
    /// step.
    Dino {
        /// Outputs of the head.
        prototypes: usize,
        /// The copy's decay at the beginning; it rises to 1 by a cosine.
        decay: f64,
        /// The teacher's temperature, below the student's 0.1. The paper warms
        /// it up from 0.04 to 0.07.
        temperature: f64,
    },
    /// By how many quarter turns is a picture turned? (Gidaris et al. 2018.)
    /// For square pictures that have an upright.
    Rotation,
    /// In which order are the tiles of a picture? (Noroozi and Favaro 2016;
    /// tiles put together to a picture again as in Carlucci et al. 2019.)
    Jigsaw {
        /// Tiles a side, 2 or 3.
        grid: usize,
        /// How many orders are told apart, far from each other; at most 24 for
        /// a grid of 2.
        orders: usize,
    },
    /// Which colours has a grey picture? (Zhang et al. 2016.) The encoder sees
    /// the luma as three equal channels; a decoder of two layers finds Cb and Cr
    /// at each pixel, with the mean squared error (the paper has classes of
    /// colour). For colour pictures `[3, h, w]`, 0 to 1.
    Colour,
    /// The sample from a view of it (Vincent et al. 2008): the mean squared
    /// error of a decoder of two layers. The views are the noise.
    Denoise,
    /// The hidden patches of a picture, which the encoder sees as zeros: the
    /// mean squared error over hidden pixels alone, as in SimMIM (Xie et al.
    /// 2022) with a decoder of two layers. For encoders that want whole
    /// pictures; for transformers see [`Mae`](crate::Mae).
    Masked(HidePatches),
    /// Which columns of a row were swapped, and what stood there (Yoon et al.
    /// 2020): binary cross entropy of the mask plus `alpha` times the values'
    /// loss, squared errors for numbers and cross entropy for categories.
    Vime {
        /// What is swapped. The paper has a part of 0.3.
        swap: SwapColumns,
        /// What the values weigh. The paper has 2.
        alpha: f64,
    },
}

impl Method {
    /// SimCLR with a temperature of 0.5, for small images.
    pub fn simclr() -> Self {
        Self::SimClr { temperature: 0.5 }
    }

    /// SimCLR at SimCSE's temperature of 0.05, for encoders of rows whose dropout
    /// makes the views; the transform changes nothing ([`Same`](crate::Same)). For
    /// text see [`SimCse`](crate::SimCse).
    pub fn simcse() -> Self {
        Self::SimClr { temperature: 0.05 }
    }

    /// SCARF (Bahri et al. 2022): SimCLR at the paper's 1, with
    /// `Views::pair(&Same, &scarf)` of a [`Scarf`](crate::Scarf). NT-Xent of both
    /// views; the paper pulls in one direction only.
    pub fn scarf() -> Self {
        Self::SimClr { temperature: 1.0 }
    }

    /// MoCo v2 with a temperature of 0.2, a decay of 0.99 and 4,096 keys. The
    /// paper has a decay of 0.999 and 65,536 keys for a million images.
    pub fn moco() -> Self {
        Self::MoCo { temperature: 0.2, momentum: 0.99, queue: 4096 }
    }

    /// SupCon with the paper's temperature of 0.1.
    pub fn sup_con() -> Self {
        Self::SupCon { temperature: 0.1 }
    }

    /// VICReg with the paper's weights.
    pub fn vicreg() -> Self {
        Self::VicReg(VicReg::default())
    }

    /// Barlow Twins with the authors' 0.0051.
    pub fn barlow_twins() -> Self {
        Self::BarlowTwins { lambda: 0.0051 }
    }

    /// BYOL with a decay of 0.99.
    pub fn byol() -> Self {
        Self::Byol { decay: 0.99 }
    }

    /// DINO with 256 outputs, a decay of 0.99 and a temperature of 0.04.
    pub fn dino() -> Self {
        Self::Dino { prototypes: 256, decay: 0.99, temperature: 0.04 }
    }

    /// All 24 orders of four tiles.
    pub fn jigsaw() -> Self {
        Self::Jigsaw { grid: 2, orders: 24 }
    }

    /// In-painting (Pathak et al. 2016): a quarter of the picture is missing, in
    /// patches of this side; [`Method::Masked`] with a small part.
    pub fn in_painting(patch: usize) -> Self {
        Self::Masked(HidePatches { patch, part: 0.25 })
    }

    /// Three quarters of the patches hidden, of this side.
    pub fn masked(patch: usize) -> Self {
        Self::Masked(HidePatches { patch, part: 0.75 })
    }

    /// VIME as in the paper.
    pub fn vime() -> Self {
        Self::Vime { swap: SwapColumns { part: 0.3 }, alpha: 2.0 }
    }

    /// That settings which no loss looks at are in their range.
    pub(crate) fn check(self) -> Result<()> {
        let weight = |x: f64| x.is_finite() && x >= 0.0;
        let wrong =
            |name, got: String, expected: &str| Err(Error::argument("method", name, got, expected));
        match self {
            Self::VicReg(VicReg { invariance: a, variance: b, covariance: c, .. })
                if ![a, b, c].into_iter().all(weight) =>
            {
                wrong("weights", format!("{a}, {b}, {c}"), "finite numbers from 0")
            }
            Self::BarlowTwins { lambda: x } | Self::Vime { alpha: x, .. } if !weight(x) => {
                wrong("lambda or alpha", x.to_string(), "a finite number from 0")
            }
            Self::Byol { decay } | Self::Dino { decay, .. } if !(0.0..=1.0).contains(&decay) => {
                wrong("decay", decay.to_string(), "0 to 1, such as 0.99")
            }
            Self::SwAv { prototypes } | Self::Dino { prototypes, .. } if prototypes < 2 => {
                wrong("prototypes", prototypes.to_string(), "2 or more")
            }
            _ => Ok(()),
        }
    }

    /// What to do if features collapse.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::SimClr { .. } | Self::SupCon { .. } => {
                "use larger batches or a lower temperature"
            }
            Self::MoCo { .. } => "raise the momentum, or use a longer queue",
            Self::VicReg(_) => "raise the weight of the variance",
            Self::BarlowTwins { .. } => "use stronger views, larger batches, or a lower rate",
            Self::Byol { .. } => "raise the decay, lower the rate, keep batch normalisation",
            Self::SimSiam => {
                "keep the stop-gradient on the followed side and batch normalisation in \
                 projector and predictor; lower the rate"
            }
            Self::SwAv { .. } => "use more prototypes or larger batches",
            Self::Dino { .. } => "lower the teacher's temperature, raise the decay",
            Self::Rotation | Self::Jigsaw { .. } => {
                "lower the rate; see whether the samples have an upright and an order at all"
            }
            Self::Colour => "lower the rate; see whether the pictures have any colour",
            Self::Denoise | Self::Masked(_) | Self::Vime { .. } => {
                "lower the rate, hide less, and scale features to a deviation of 1"
            }
        }
    }
}
