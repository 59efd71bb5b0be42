//! Sign dropout.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// One number for each place of the gradients, the rows of `all` `[tasks, n]`:
/// the sum over the tasks whose sign is let through there (Chen et al. 2020,
/// algorithm 1), and `leak` of the others.
pub(crate) fn drop_conflicts(all: &[f32], n: usize, leak: f32, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let place = |at: usize| {
        let column = || all.iter().skip(at).step_by(n.max(1)).copied();
        let (sum, size) = column().fold((0.0, 0.0), |(s, a), g| (s + g, a + g.abs()));
        let purity = if size > 0.0 { 0.5 * (1.0 + sum / size) } else { 0.5 };
        let positive = purity > rng.random::<f32>();
        column().map(|g| if (g > 0.0) == positive { g } else { leak * g }).sum()
    };
    (0..n).map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn one_sign_passes_as_often_as_it_weighs() {
        // Places of 3 against -1: the positive one passes in 3 of 4.
        let n = 4000;
        let all: Vec<f32> = [3.0, -1.0].iter().flat_map(|g| vec![*g; n]).collect();
        let rng = &mut ChaCha8Rng::seed_from_u64(0);
        let out = drop_conflicts(&all, n, 0.0, rng);
        assert!(out.iter().all(|g| *g == 3.0 || *g == -1.0));
        let positive = out.iter().filter(|g| **g > 0.0).count() as f64 / n as f64;
        assert!((positive - 0.75).abs() < 0.03, "{positive}");
        // Tasks that agree pass whole; all leaks at 1.
        assert_eq!(drop_conflicts(&[1.0, 2.0], 1, 0.0, rng), [3.0]);
        assert_eq!(drop_conflicts(&[1.0, -2.0], 1, 1.0, rng), [-1.0]);
    }
}
