//! What more ranks bring: a model of the time of a step.
//!
//! A message of `b` bytes takes `α + β b` seconds (Hockney 1994). With `n` ranks and
//! gradients of `b` bytes the sums take, following Thakur, Rabenseifner and
//! Gropp (2005):
//!
//! | way | seconds |
//! |---|---|
//! | ring | `2 (n - 1) α + 2 (n - 1)/n · b β` |
//! | tree, there and back | `2 ⌈log2 n⌉ (α + b β)` |
//! | halving and doubling | `2 ⌈log2 n⌉ α + 2 (n - 1)/n · b β` |
//! | [`Reduction::Deterministic`](crate::Reduction::Deterministic) | as the ring, with `k` sums a rank on the way there: `2 (n - 1) α + (1 + k)(n - 1)/n · b β` |
//!
//! A step of one rank on the whole batch is `f + g` (forward and backward)
//! and `u`, the optimiser, which is not shared. On `n` ranks it is
//! `(f + g)/n + u + sums`, or with the sums beside backward no less than the
//! slower of the two: [`simulate`] follows the buckets one by one, with ranks that
//! are not equally fast.

use crate::tree::Tree;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::cmp::Ordering;
use tl_tensor::Tensor;

/// A network between ranks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Seconds that a message takes whatever its size.
    pub alpha: f64,
    /// Seconds for each byte more.
    pub beta: f64,
}

/// How a sum over ranks is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Every rank sends to its neighbour, around and around.
    Ring,
    /// Up a binary tree and down again, the whole message in each step.
    Tree,
    /// Recursive halving, then doubling (Rabenseifner).
    HalvingDoubling,
    /// The fixed tree over this many micro-shards, each slice of the numbers
    /// on a rank of its own.
    Fixed {
        /// Micro-shards of a global batch.
        shards: usize,
    },
}

impl Link {
    /// Seconds for the sum of `bytes` over `ranks`; none for one rank.
    pub fn all_reduce(&self, way: Way, ranks: usize, bytes: f64) -> f64 {
        if ranks < 2 {
            return 0.0;
        }
        let n = ranks as f64;
        let doublings = f64::from(ranks.next_power_of_two().trailing_zeros());
        let Self { alpha, beta } = *self;
        let share = (n - 1.0) / n * bytes * beta;
        match way {
            Way::Ring => 2.0 * (n - 1.0) * alpha + 2.0 * share,
            Way::Tree => 2.0 * doublings * (alpha + bytes * beta),
            Way::HalvingDoubling => 2.0 * doublings * alpha + 2.0 * share,
            Way::Fixed { shards } => {
                2.0 * (n - 1.0) * alpha + (1.0 + most_sums(shards, ranks) as f64) * share
            }
        }
    }
}

/// The most sums that a rank's run of micro-shards leaves: 1 if both are powers of
/// two.
fn most_sums(shards: usize, ranks: usize) -> usize {
    let runs = (0..ranks).map(|rank| crate::plan::part(shards, ranks, rank));
    runs.map(|run| Tree::cover(shards, run, |_| true).len()).max().unwrap_or(1)
}

/// A step of training on one rank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Seconds of the forward pass over the global batch.
    pub forward: f64,
    /// Seconds of the backward pass over the global batch.
    pub backward: f64,
    /// Seconds of the optimiser's step, which every rank takes whole.
    pub update: f64,
    /// Bytes of all gradients.
    pub bytes: f64,
}

/// A job to be simulated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Job {
    /// The step on one rank.
    pub step: Step,
    /// The network.
    pub link: Link,
    /// How sums are made.
    pub way: Way,
    /// Ranks.
    pub ranks: usize,
    /// Bytes of a bucket; infinite for all gradients at once.
    pub bucket: f64,
    /// Whether sums run beside backward.
    pub overlap: bool,
    /// Relative standard deviation of a rank's compute time from step to step.
    pub jitter: f64,
    /// Whether the global batch grows with the ranks (weak scaling); otherwise
    /// it is cut among them.
    pub weak: bool,
}

/// What a simulation gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    /// Mean seconds of a step.
    pub step: f64,
    /// Of these, seconds in which the slowest rank neither computed nor updated.
    pub exposed: f64,
    /// Samples a second, as a multiple of one rank's.
    pub speedup: f64,
    /// Speed-up divided by ranks.
    pub efficiency: f64,
}

/// Follows `steps` steps of a job, bucket by bucket: a bucket can be summed when
/// the slowest rank has it and the bucket before is done. Gradients arrive evenly
/// during backward. The same seed gives the same numbers.
pub fn simulate(job: &Job, steps: usize, seed: u64) -> Times {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let Job { step, link, way, ranks, .. } = *job;
    let share = match way {
        _ if job.weak => 1.0,
        // The rank with most micro-shards.
        Way::Fixed { shards } => shards.div_ceil(ranks.max(1)) as f64 / shards.max(1) as f64,
        _ => 1.0 / ranks.max(1) as f64,
    };
    let buckets = if job.bucket > 0.0 { (step.bytes / job.bucket).ceil().max(1.0) } else { 1.0 };
    let sum = link.all_reduce(way, ranks, step.bytes / buckets);
    let (mut total, mut exposed) = (0.0, 0.0);
    for _ in 0..steps.max(1) {
        let noise: Tensor = Tensor::randn(ranks.max(1), &mut rng);
        // The slowest rank decides when each bucket is there: all of its pass is
        // slower by the same factor.
        let worst = noise.to_vec().into_iter().map(f64::from);
        let worst = worst.max_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal)).unwrap_or(0.0);
        let slow = share * (1.0 + job.jitter * worst).max(0.0);
        let computed = slow * (step.forward + step.backward);
        let mut free = 0.0_f64;
        for bucket in 1..=buckets as usize {
            let there = if job.overlap {
                slow * (step.forward + step.backward * bucket as f64 / buckets)
            } else {
                computed
            };
            free = free.max(there) + sum;
        }
        exposed += free - computed;
        total += free + step.update;
    }
    let count = steps.max(1) as f64;
    let mean = total / count;
    let alone = step.forward + step.backward + step.update;
    let work = if job.weak { ranks as f64 } else { 1.0 };
    let speedup = work * alone / mean;
    Times {
        step: mean,
        exposed: exposed / count,
        speedup,
        efficiency: speedup / ranks.max(1) as f64,
    }
}

/// The network that fits measured times `(bytes, seconds)` of a sum over
/// `ranks` best, by least squares of relative errors; none from fewer than two
/// sizes.
pub fn fit(way: Way, ranks: usize, measured: &[(f64, f64)]) -> Option<Link> {
    // The time is linear in both: a row for each measurement.
    let of = |alpha, beta, bytes| Link { alpha, beta }.all_reduce(way, ranks, bytes);
    let (mut aa, mut ab, mut bb, mut at, mut bt) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for &(bytes, seconds) in measured {
        let (a, b) = (of(1.0, 0.0, bytes) / seconds, of(0.0, 1.0, bytes) / seconds);
        (aa, ab, bb) = (aa + a * a, ab + a * b, bb + b * b);
        (at, bt) = (at + a, bt + b);
    }
    let det = aa * bb - ab * ab;
    (det.abs() > f64::EPSILON * aa * bb)
        .then(|| Link { alpha: (bb * at - ab * bt) / det, beta: (aa * bt - ab * at) / det })
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    const LINK: Link = Link { alpha: 1e-5, beta: 1e-9 };
    const STEP: Step = Step { forward: 0.02, backward: 0.04, update: 0.0, bytes: 4e6 };

    fn job(ranks: usize) -> Job {
        Job {
            step: STEP,
            link: LINK,
            way: Way::Ring,
            ranks,
            bucket: 1e6,
            overlap: true,
            jitter: 0.0,
            weak: false,
        }
    }

    #[test]
    fn the_formulas_are_those_of_the_table() {
        let time = |way| LINK.all_reduce(way, 8, 1e6);
        assert_relative_eq!(time(Way::Ring), 14e-5 + 1.75e-3, max_relative = 1e-12);
        assert_relative_eq!(time(Way::Tree), 6.0 * (1e-5 + 1e-3), max_relative = 1e-12);
        assert_relative_eq!(time(Way::HalvingDoubling), 6e-5 + 1.75e-3, max_relative = 1e-12);
        assert_relative_eq!(time(Way::Fixed { shards: 16 }), time(Way::Ring), max_relative = 1e-12);
        // Runs of 3 micro-shards cut through pairs.
        let on_five = |way| LINK.all_reduce(way, 5, 1e6);
        assert!(on_five(Way::Fixed { shards: 12 }) > on_five(Way::Ring));
        assert_eq!(LINK.all_reduce(Way::Tree, 1, 1e9), 0.0);
    }

    #[test]
    fn without_overlap_the_simulation_is_the_formula() {
        let times = simulate(&Job { overlap: false, bucket: f64::INFINITY, ..job(8) }, 3, 0);
        let expected = 0.06 / 8.0 + LINK.all_reduce(Way::Ring, 8, 4e6);
        assert_relative_eq!(times.step, expected, max_relative = 1e-9);
        assert_relative_eq!(times.speedup, 0.06 / expected, max_relative = 1e-9);
    }

    #[test]
    fn micro_shards_that_do_not_divide_keep_ranks_waiting() {
        let time =
            |ranks| simulate(&Job { way: Way::Fixed { shards: 8 }, ..job(ranks) }, 1, 0).step;
        // Three micro-shards at most on 3 ranks, and two on 4.
        assert!(time(3) > 3.0 / 8.0 * 0.06 && time(4) < time(3) * 0.75);
    }

    #[test]
    fn overlap_hides_all_but_the_last_bucket_of_a_fast_network() {
        let times = simulate(&job(2), 1, 0);
        assert_relative_eq!(times.exposed, LINK.all_reduce(Way::Ring, 2, 1e6), max_relative = 1e-9);
        // A slow network: nothing can be faster than the sums themselves.
        let slow = Job { link: Link { alpha: 1e-5, beta: 1e-7 }, ..job(8) };
        let sums = 4.0 * slow.link.all_reduce(Way::Ring, 8, 1e6);
        assert!(simulate(&slow, 1, 0).step > sums);
    }

    #[test]
    fn jitter_costs_and_repeats() {
        let noisy = Job { jitter: 0.05, ..job(64) };
        assert!(simulate(&noisy, 50, 1).step > simulate(&job(64), 50, 1).step);
        assert_eq!(simulate(&noisy, 50, 1), simulate(&noisy, 50, 1));
    }

    #[test]
    fn a_network_is_found_from_its_times() {
        let sizes = [1e3, 1e5, 1e7];
        let measured = sizes.map(|b| (b, LINK.all_reduce(Way::Ring, 4, b)));
        let found = fit(Way::Ring, 4, &measured).unwrap();
        assert_relative_eq!(found.alpha, LINK.alpha, max_relative = 1e-6);
        assert_relative_eq!(found.beta, LINK.beta, max_relative = 1e-6);
        assert_eq!(fit(Way::Ring, 4, &measured[..1]), None);
    }
}
