//! A contrastive loss.

use super::Workload;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_nn::{CrossEntropy, Indices, Tensor};

/// NT-Xent (Chen et al. 2020, eq. 1) of two views.
pub(super) const NTXENT: Workload = Workload {
    name: "ntxent",
    about: "two views of 256 embeddings of 128 numbers, temperature 0.5, forward and backward",
    peers: &["torch"],
    setup: || {
        let rng = &mut ChaCha8Rng::seed_from_u64(0);
        let z = Tensor::randn([512, 128], rng).requires_grad();
        let target: Indices = (0..512).map(|i| (i + 256) % 512).collect::<Vec<_>>().into();
        let diagonal = Tensor::eye(512);
        Ok(Box::new(move || {
            let n = z.div(&z.norm(1, true)?)?;
            let similarity = n.matmul(&n.t()?)?.mul_scalar(2.0);
            let similarity = similarity.masked_fill(&diagonal, f32::NEG_INFINITY)?;
            CrossEntropy::new().loss(&similarity, &target)?.backward()?;
            Ok(())
        }))
    },
};
