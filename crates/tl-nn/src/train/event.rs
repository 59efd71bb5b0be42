//! What the training loop tells while it runs.

use super::{history::Record, trainer::TrainReport};
use std::path::Path;

/// Something that happened in a training run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The run begins, or goes on from a checkpoint.
    Begin {
        /// Epochs in all.
        epochs: usize,
        /// Steps that were taken before.
        steps: u64,
    },
    /// An optimiser step was taken.
    Step {
        /// The epoch, from 0.
        epoch: usize,
        /// Batches of this epoch so far.
        batches: usize,
        /// Batches of an epoch, if the source knows.
        of: Option<usize>,
        /// Steps so far.
        step: u64,
        /// The mean loss of this step's batches.
        loss: f64,
        /// The learning rate.
        lr: f32,
    },
    /// An epoch ended.
    Epoch(&'a Record),
    /// A checkpoint is on disk.
    Saved {
        /// Where.
        path: &'a Path,
    },
    /// The run ended.
    End(&'a TrainReport),
}
