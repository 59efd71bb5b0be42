//! Adapters: a few new numbers on a frozen model.
//!
//! Adapters live on the parameters of a model, so any model takes them, keeps its
//! type and methods, and trains in any loop. A model carries several, by name:
//! [`attach`] puts one on, [`activate`] switches or blends, [`combine`] makes one of
//! several, [`merge`] and [`unmerge`] fold them into the weights and back,
//! [`detach`] takes one off. [`save`] writes one alone, as Hugging Face's PEFT does,
//! and [`load`] reads what either wrote.
//!
//! | method | configuration | source |
//! |---|---|---|
//! | LoRA, rsLoRA | [`LoraConfig`] | Hu et al. 2022; Kalajdzievski 2023 |
//! | DoRA | [`LoraConfig::dora`](method@LoraConfig::dora) | Liu et al. 2024 |
//! | VeRA | [`VeraConfig`] | Kopiczko et al. 2024 |
//! | IA3 | [`Ia3Config`] | Liu et al. 2022 |
//! | bottleneck adapters | [`BottleneckConfig`] | Houlsby et al. 2019; Pfeiffer et al. 2021 |
//! | BitFit, normalisation | [`WholeConfig`] | Ben Zaken et al. 2022; Zhao et al. 2024 |
//!
//! Prompt and prefix tuning change the sequence, not a weight: see
//! `Bert::add_prompt` and `Bert::add_prefix` in `tl-models`.

mod attach;
mod bottleneck;
mod config;
mod format;
mod ia3;
mod lora;
mod manage;
mod site;
mod stack;
mod vera;
mod whole;

pub use attach::{Attached, attach};
pub use bottleneck::BottleneckConfig;
pub use config::PeftConfig;
pub use format::{adapter_state, load, save};
pub use ia3::Ia3Config;
pub use lora::{LoraConfig, LoraInit};
pub use manage::{activate, active, combine, detach, disable, into_merged, merge, names, unmerge};
pub use vera::VeraConfig;
pub use whole::{Whole, WholeConfig};

use crate::{Error, Result};

fn check_dropout(what: &'static str, part: f64) -> Result<()> {
    if (0.0..1.0).contains(&part) {
        return Ok(());
    }
    Err(Error::argument(what, "dropout", part, "0 to below 1"))
}
