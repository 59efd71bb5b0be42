//! Workloads that are measured side by side with their twins in PyTorch and
//! other libraries.
//!
//! Every side is a process of its own that is told what to do line by line, so
//! that sides can take turns and the peak memory of each is its own.

pub mod fill;
pub mod measure;
pub mod memory;
pub mod peer;
pub mod scaling;
pub mod serve;
pub mod table;
pub mod workloads;

pub use workloads::{Run, Workload, all};

/// What can go wrong on any side.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
