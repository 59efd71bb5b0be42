//! Sides that take turns, and what the times say.

use crate::{Outcome, peer::Worker};
use std::time::Instant;

/// Blocks of runs that take turns; the result is the median over them.
pub const BLOCKS: usize = 15;

/// As many at least where a single run is longer than a block.
const FEWEST: usize = 5;

/// The times of one side: milliseconds a run, block by block.
#[derive(Clone, Debug)]
pub struct Times(Vec<f64>);

impl Times {
    /// The middle one.
    pub fn median(&self) -> f64 {
        quantile(&self.0, 0.5)
    }

    /// The first and the third quartile.
    pub fn quartiles(&self) -> [f64; 2] {
        [quantile(&self.0, 0.25), quantile(&self.0, 0.75)]
    }

    /// The quartiles of `peer / self`, block by block: both were measured within
    /// the same fraction of a second.
    pub fn ratio_quartiles(&self, peer: &Self) -> [f64; 2] {
        let ratios: Vec<f64> = peer.0.iter().zip(&self.0).map(|(p, own)| p / own).collect();
        [quantile(&ratios, 0.25), quantile(&ratios, 0.75)]
    }
}

/// The value below which a part of the numbers lies, between neighbours by
/// their distance.
fn quantile(numbers: &[f64], part: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = part * sorted.len().saturating_sub(1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    match (sorted.get(low), sorted.get(high)) {
        (Some(a), Some(b)) => a + (b - a) * place.fract(),
        _ => f64::NAN,
    }
}

/// Times sides that are set up, in turns of `seconds / BLOCKS` each; where runs
/// are so long that this would take twice the time, in fewer turns.
///
/// # Errors
/// Those of the workers.
pub fn measure(sides: &mut [&mut Worker], seconds: f64) -> Outcome<Vec<Times>> {
    let block = seconds / BLOCKS as f64;
    let runs = sides.iter_mut().map(|side| fill(side, block)).collect::<Outcome<Vec<_>>>()?;
    let mut times = vec![Vec::with_capacity(BLOCKS); sides.len()];
    let (begin, most) = (Instant::now(), 2.0 * seconds * sides.len() as f64);
    for turn in 0..BLOCKS {
        if turn >= FEWEST && begin.elapsed().as_secs_f64() > most {
            break;
        }
        for ((side, &n), list) in sides.iter_mut().zip(&runs).zip(&mut times) {
            list.push(side.run(n)? * 1e3 / n as f64);
        }
    }
    Ok(times.into_iter().map(Times).collect())
}

/// How many runs fill a block; warms up on the way.
fn fill(side: &mut Worker, block: f64) -> Outcome<usize> {
    let (mut n, mut took) = (1, side.run(1)?);
    while took < 0.3 * block && n < 1 << 20 {
        n *= 2;
        took = side.run(n)?;
    }
    Ok(((n as f64 * block / took.max(1e-9)) as usize).clamp(1, 1 << 20))
}

/// Whether two sides' results are the same up to `tolerance` of their size, as
/// many as both have.
///
/// # Errors
/// They are not; says both.
pub fn agree(ours: &[[f64; 2]], peer: &[[f64; 2]], tolerance: f64) -> Outcome {
    let close = |a: &[f64; 2], b: &[f64; 2]| {
        let size = a[1].abs().max(b[1].abs()).max(1e-30);
        (a[0] - b[0]).abs() <= tolerance * size && (a[1] - b[1]).abs() <= tolerance * size
    };
    if !ours.is_empty() && !peer.is_empty() && ours.iter().zip(peer).all(|(a, b)| close(a, b)) {
        return Ok(());
    }
    Err(format!("the results differ: ours {ours:.6?}, the peer's {peer:.6?}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_neighbours() {
        let times = Times(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!(times.median(), 2.5);
        assert_eq!(times.quartiles(), [1.75, 3.25]);
        let peer = Times(vec![8.0, 3.0, 6.0, 2.0]);
        assert_eq!(times.ratio_quartiles(&peer), [1.75, 2.25]);
    }

    #[test]
    fn agreement_is_relative_to_the_size_of_the_results() {
        assert!(agree(&[[0.0, 100.0]], &[[0.05, 100.0]], 1e-3).is_ok());
        assert!(agree(&[[0.0, 1.0]], &[[0.05, 1.0]], 1e-3).is_err());
        assert!(agree(&[[0.0, 1.0]], &[], 1e-3).is_err());
        assert!(agree(&[[f64::NAN, f64::NAN]], &[[f64::NAN, f64::NAN]], 1e-3).is_err());
    }
}
