//! Random loss weighting.

use super::scaled_softmax;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// `T softmax(N(0, 1))` (Lin et al. 2022, eq. 3), drawn for the tasks that are
/// there: one that is missing changes nothing for them.
pub(super) fn weights(tasks: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    scaled_softmax(&(0..tasks).map(|_| normal(&mut rng)).collect::<Vec<_>>())
}

/// A standard normal number (Box and Muller 1958).
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let (u, v): (f32, f32) = (1.0 - rng.random::<f32>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos()
}
