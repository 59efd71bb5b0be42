//! Parameters that are trained whole: BitFit, normalisation, heads.

use serde::{Deserialize, Serialize};

/// Which parameters are trained as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Whole {
    /// All biases: BitFit (Ben Zaken et al. 2022).
    Biases,
    /// Scale and shift of layer (and group) normalisation, not of batch
    /// normalisation (Zhao et al. 2024).
    LayerNorms,
    /// The parameters of these modules.
    Modules(Vec<String>),
}

/// Trains a few parameters whole. The model keeps its own; the trained copies
/// count in their place while the adapter is active.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeConfig {
    /// Which.
    pub what: Whole,
    /// Modules that are trained too, such as a new head.
    #[serde(default)]
    pub train: Vec<String>,
}

impl WholeConfig {
    /// BitFit: all biases.
    pub fn bit_fit() -> Self {
        Self { what: Whole::Biases, train: Vec::new() }
    }

    /// Layer normalisation.
    pub fn layer_norms() -> Self {
        Self { what: Whole::LayerNorms, train: Vec::new() }
    }

    /// These modules.
    pub fn modules<S: Into<String>>(modules: impl IntoIterator<Item = S>) -> Self {
        let modules = modules.into_iter().map(Into::into).collect();
        Self { what: Whole::Modules(modules), train: Vec::new() }
    }

    /// Also trains these modules.
    #[must_use]
    pub fn train<S: Into<String>>(mut self, modules: impl IntoIterator<Item = S>) -> Self {
        self.train = modules.into_iter().map(Into::into).collect();
        self
    }
}
