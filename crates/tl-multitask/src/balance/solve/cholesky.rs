//! A small positive definite system.

/// Solves `A z = b` for the rows and columns `keep` of the symmetric matrix `a`
/// `[n, n]` by Cholesky's factorisation; `None` if that part of `A` is not
/// positive definite to working precision.
pub(super) fn solve_part(a: &[f64], n: usize, keep: &[usize], b: &[f64]) -> Option<Vec<f64>> {
    let k = keep.len();
    let mut l = vec![0.0; k * k];
    for i in 0..k {
        for j in 0..=i {
            let (done, row) = l.split_at(i * k);
            let row_j = if i == j { &row[..j] } else { &done[j * k..j * k + j] };
            let inner: f64 = row[..j].iter().zip(row_j).map(|(x, y)| x * y).sum();
            let rest = a[keep[i] * n + keep[j]] - inner;
            l[i * k + j] = if i == j {
                if rest <= 1e-15 * a[keep[i] * n + keep[i]].abs() {
                    return None;
                }
                rest.sqrt()
            } else {
                rest / l[j * k + j]
            };
        }
    }
    let mut z = b.to_vec();
    for i in 0..k {
        let inner: f64 = (0..i).map(|j| l[i * k + j] * z[j]).sum();
        z[i] = (z[i] - inner) / l[i * k + i];
    }
    for i in (0..k).rev() {
        let inner: f64 = (i + 1..k).map(|j| l[j * k + i] * z[j]).sum();
        z[i] = (z[i] - inner) / l[i * k + i];
    }
    Some(z)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_system_is_solved() {
        // The middle row is left out: [[4, 2], [2, 3]] z = [8, 8].
        let a = [4.0, 9.0, 2.0, 9.0, 9.0, 9.0, 2.0, 9.0, 3.0];
        let z = solve_part(&a, 3, &[0, 2], &[8.0, 8.0]).unwrap();
        approx::assert_relative_eq!(z[0], 1.0, max_relative = 1e-12);
        approx::assert_relative_eq!(z[1], 2.0, max_relative = 1e-12);
        assert!(solve_part(&[1.0, 1.0, 1.0, 1.0], 2, &[0, 1], &[1.0, 1.0]).is_none());
    }
}
