//! The smallest of a row, without sorting it.

/// The `k` smallest of `shift[j] + scale · cross[j]` with their places, smallest
/// first; of equal ones the first. Fewer if the row is shorter.
pub(super) fn smallest(k: usize, cross: &[f32], scale: f32, shift: &[f32]) -> Vec<(f32, usize)> {
    /// Numbers that are looked at together: most of them hold none of the best.
    const LANES: usize = 16;
    let mut best: Vec<(f32, usize)> = Vec::with_capacity(k + 1);
    for (chunk, (cross, shift)) in cross.chunks(LANES).zip(shift.chunks(LANES)).enumerate() {
        let mut values = [f32::INFINITY; LANES];
        for ((value, c), s) in values.iter_mut().zip(cross).zip(shift) {
            *value = s + scale * c;
        }
        let worst = if best.len() < k { f32::INFINITY } else { best[k - 1].0 };
        let least = values.iter().fold(f32::INFINITY, |a, &b| if b < a { b } else { a });
        if least >= worst && best.len() == k {
            continue;
        }
        for (lane, &value) in values[..cross.len()].iter().enumerate() {
            if best.len() == k && value >= best[k - 1].0 {
                continue;
            }
            let place = best.partition_point(|b| b.0 <= value);
            best.insert(place, (value, chunk * LANES + lane));
            best.truncate(k);
        }
    }
    best
}

/// [`smallest`] of every row of `width` numbers, in parallel where that is
/// enabled.
pub(super) fn smallest_of_rows(
    k: usize,
    cross: &[f32],
    width: usize,
    scale: f32,
    shift: &[f32],
) -> Vec<Vec<(f32, usize)>> {
    let of = |row: &[f32]| smallest(k, row, scale, shift);
    #[cfg(feature = "rayon")]
    {
        use rayon::prelude::*;
        cross.par_chunks(width).map(of).collect()
    }
    #[cfg(not(feature = "rayon"))]
    cross.chunks(width).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};

    #[test]
    fn the_smallest_are_those_of_a_sorted_row() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(4);
        for n in [1, 5, 16, 17, 200] {
            // Few different values: many are equal.
            let row: Vec<f32> = (0..n).map(|_| rng.random_range(0..9) as f32).collect();
            let shift: Vec<f32> = (0..n).map(|_| rng.random_range(0..3) as f32).collect();
            for k in [1, 2, 7, 200] {
                let mut all: Vec<(f32, usize)> =
                    row.iter().zip(&shift).map(|(c, s)| s - 2.0 * c).zip(0..).collect();
                all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                all.truncate(k);
                assert_eq!(smallest(k, &row, -2.0, &shift), all);
            }
        }
    }
}
