//! What the machine can do at most.

use crate::{Outcome, fill::numbers};
use serde::{Deserialize, Serialize};
use std::time::Instant;
use tl_nn::{GradOptions, Tensor, grad};

/// Its limits, as measured with the library itself.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Multiplications and additions a second in a large product.
    pub flops: f64,
    /// Bytes a second, read and written, in an addition of arrays beyond the
    /// caches.
    pub bandwidth: f64,
    /// Seconds of a small operation, recorded and walked back.
    pub operation: f64,
}

/// The best of several runs, seconds.
fn best(mut run: impl FnMut() -> Outcome) -> Outcome<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..12 {
        let start = Instant::now();
        run()?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok(least)
}

impl Machine {
    /// Measures for the threads of the current pool.
    ///
    /// # Errors
    /// None that a working library can cause.
    pub fn measure() -> Outcome<Self> {
        const SIDE: usize = 1024;
        let (a, b) = (numbers(1, [SIDE, SIDE]), numbers(2, [SIDE, SIDE]));
        let product = best(|| {
            std::hint::black_box(a.matmul(&b)?);
            Ok(())
        })?;
        let (x, y) = (numbers(3, [1 << 24]), numbers(4, [1 << 24]));
        let sum = best(|| {
            std::hint::black_box(x.add(&y)?);
            Ok(())
        })?;
        let (start, one) = (Tensor::<f32>::ones(16).requires_grad(), Tensor::ones(16));
        let chain = best(|| {
            let mut z = start.add(&one)?;
            for _ in 1..1000 {
                z = z.add(&one)?;
            }
            grad(&z.sum_all(), &[&start], GradOptions::new())?;
            Ok(())
        })?;
        Ok(Self {
            flops: 2.0 * (SIDE as f64).powi(3) / product,
            bandwidth: 12.0 * f64::from(1 << 24) / sum,
            operation: chain / 1000.0,
        })
    }
}
