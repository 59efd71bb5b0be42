//! Workloads that are measured side by side with their twins in PyTorch.

pub mod twin;
pub mod workloads;

pub use workloads::{Workload, all};
