//! A configuration of any method.

use super::{BottleneckConfig, Ia3Config, LoraConfig, VeraConfig, WholeConfig};
use crate::Result;
use serde::{Deserialize, Serialize};

/// The configuration of an adapter, of any method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PeftConfig {
    /// LoRA, rsLoRA, DoRA.
    Lora(LoraConfig),
    /// IA3.
    Ia3(Ia3Config),
    /// VeRA.
    Vera(VeraConfig),
    /// Bottleneck adapters.
    Bottleneck(BottleneckConfig),
    /// BitFit, normalisation, or any parameters trained whole.
    Whole(WholeConfig),
}

impl PeftConfig {
    pub(super) fn method(&self) -> &'static str {
        match self {
            Self::Lora(_) => "LoRA",
            Self::Ia3(_) => "IA3",
            Self::Vera(_) => "VeRA",
            Self::Bottleneck(_) => "bottleneck",
            Self::Whole(_) => "adapters",
        }
    }

    pub(super) fn targets(&self) -> &[String] {
        match self {
            Self::Lora(c) => &c.targets,
            Self::Ia3(c) => &c.targets,
            Self::Vera(c) => &c.targets,
            Self::Bottleneck(c) => &c.targets,
            Self::Whole(_) => &[],
        }
    }

    pub(super) fn train(&self) -> &[String] {
        match self {
            Self::Lora(c) => &c.train,
            Self::Ia3(c) => &c.train,
            Self::Vera(c) => &c.train,
            Self::Bottleneck(c) => &c.train,
            Self::Whole(c) => &c.train,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Lora(c) => c.check(),
            Self::Vera(c) => c.check(),
            Self::Bottleneck(c) => c.check(),
            Self::Ia3(_) | Self::Whole(_) => Ok(()),
        }
    }
}

macro_rules! from {
    ($($Variant:ident($Config:ident)),*) => {
        $(impl From<$Config> for PeftConfig {
            fn from(config: $Config) -> Self {
                Self::$Variant(config)
            }
        })*
    };
}
from!(
    Lora(LoraConfig),
    Ia3(Ia3Config),
    Vera(VeraConfig),
    Bottleneck(BottleneckConfig),
    Whole(WholeConfig)
);
