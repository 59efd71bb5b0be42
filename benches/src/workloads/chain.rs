//! The cost of recording an operation and of walking back.

use super::Workload;
use tl_tensor::{GradOptions, Tensor, grad};

/// A thousand additions of 16 numbers, forward and backward.
pub(super) const CHAIN1000: Workload = Workload {
    name: "chain1000",
    about: "1,000 additions of 16 numbers, forward and backward",
    peers: &["torch", "candle", "burn"],
    setup: || {
        let x = Tensor::<f32>::linspace(-1.0, 1.0, 16).requires_grad();
        let one = Tensor::ones(16);
        Ok(Box::new(move || {
            let mut y = x.add(&one)?;
            for _ in 1..1000 {
                y = y.add(&one)?;
            }
            let y = y.sum_all();
            let slope = grad(&y, &[&x], GradOptions::new())?.remove(0);
            Ok(y.detach().add(&slope)?)
        }))
    },
    ..Workload::DEFAULT
};
