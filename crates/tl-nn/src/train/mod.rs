//! The training loop: one for every technique.

#[cfg(feature = "progress")]
mod bar;
mod checkpoint;
mod clock;
mod early_stopping;
mod event;
mod history;
mod lr_finder;
mod objective;
mod run;
mod trainer;

pub use clock::Clock;
pub use early_stopping::EarlyStopping;
pub use event::Event;
pub use history::{History, Record};
pub use lr_finder::{LrCurve, LrFinder};
pub use objective::{Losses, Metrics, Objective};
pub use trainer::{TrainReport, Trainer};
