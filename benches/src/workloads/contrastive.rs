//! A contrastive loss.

use super::Workload;
use crate::fill::numbers;
use tl_nn::Tensor;
use tl_tensor::{GradOptions, grad};

/// NT-Xent (Chen et al. 2020, eq. 1) of two views.
pub(super) const NTXENT: Workload = Workload {
    name: "ntxent",
    about: "two views of 256 embeddings of 128 numbers, temperature 0.5, forward and backward",
    peers: &["torch", "torch_compile"],
    setup: || {
        let a: Tensor = numbers(1, [256, 128]).requires_grad();
        let b: Tensor = numbers(2, [256, 128]).requires_grad();
        Ok(Box::new(move || {
            let loss = tl_ssl::nt_xent(&a, &b, 0.5)?;
            let slopes = grad(&loss, &[&a, &b], GradOptions::new())?;
            Ok(slopes[0].add(&slopes[1])?)
        }))
    },
    ..Workload::DEFAULT
};
