//! What an optimiser carries from step to step.

use crate::Plateau;

/// The state of one parameter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParamState {
    /// Updates so far.
    pub steps: u64,
    /// The rule's numbers, slot by slot; empty before the first update.
    pub slots: Vec<Vec<f32>>,
}

/// Everything that a later step depends on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OptimizerState {
    /// Steps so far.
    pub step: u64,
    /// The state of each parameter that was updated, by path.
    pub params: Vec<(String, ParamState)>,
    /// The plateau watch.
    pub plateau: Option<Plateau>,
}
