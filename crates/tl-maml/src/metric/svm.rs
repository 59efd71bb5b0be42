//! A multi-class support vector machine as differentiable head.

use super::Head;
use crate::{Error, Result};
use tl_nn::{Indices, Param, Tensor, module};
use tl_tensor::Elem;

/// Sweeps over the samples at most: what is left is found by refinement.
const SWEEPS: usize = 200;
/// Changes of the set of bound numbers at most.
const REFINEMENTS: usize = 50;

/// The dual solution `α` `[n, ways]` of the support vector machine of Crammer and
/// Singer (2001) as MetaOptNet solves it (Lee et al. 2019, eq. 8 and the authors'
/// code), for the kernel `K` `[n, n]` of the support samples:
///
/// minimise `½ Σ_ijk α_ik K_ij α_jk + ½ Σ_ik α_ik² - Σ_i α_i,y(i)` under
/// `α_ik ≤ C [k = y(i)]` and `Σ_k α_ik = 0`.
///
/// The second term is what the authors add to the kernel to keep their solver
/// stable; it is part of the definition here, as it makes the solution unique.
///
/// Differentiable in `K` and to any order: the solver only finds which bounds
/// hold with equality. Given those, `α` is the solution of a linear system, and
/// that system is solved in tensor operations (what OptNet, Amos and Kolter 2017,
/// does by hand). Where a bound is about to change sides the derivative is
/// one-sided.
///
/// # Errors
/// Shapes that do not fit, `ways` below 2, a label that is not below it, a kernel
/// that is not finite or not positive semidefinite, a `c` that is not positive.
pub fn svm_dual<E: Elem>(
    kernel: &Tensor<E>,
    labels: &Indices,
    ways: usize,
    c: f64,
) -> Result<Tensor<E>> {
    let n = labels.len();
    if kernel.dims() != [n, n] || n == 0 {
        let got = format!("{:?} for {n} labels", kernel.dims());
        return Err(Error::argument("svm", "kernel", got, "[n, n] for n labels, n at least 1"));
    }
    if ways < 2 || labels.as_slice().iter().any(|&y| y >= ways) {
        let got = format!("{:?} of {ways} classes", labels.as_slice());
        return Err(Error::argument("svm", "labels", got, "at least 2 classes, labels below that"));
    }
    if !(c.is_finite() && c > 0.0) {
        return Err(Error::argument("svm", "c", c, "a number above 0"));
    }
    if !kernel.is_finite() {
        return Err(Error::argument("svm", "kernel", "NaN or infinity", "finite features"));
    }
    let numbers = kernel.to_vec().into_iter().map(E::to_f64).collect();
    let problem = Problem { kernel: numbers, labels: labels.as_slice(), ways, c };
    let mut bound = problem.approximate();
    for _ in 0..REFINEMENTS {
        let (alpha, row_prices) = on_face(kernel, &bound, &problem)?;
        if !problem.refine(&alpha, &row_prices, &mut bound) {
            return Ok(alpha);
        }
    }
    // It circles between sets that differ by rounding: either will do.
    Ok(on_face(kernel, &bound, &problem)?.0)
}

/// Logits `[q, ways]` of [`svm_dual`]: `q · w_k` with `w_k = Σ_i α_ik x_i`, for
/// support features `[n, d]` and queries `[q, d]`.
///
/// # Errors
/// As [`svm_dual`]; rows of different lengths.
pub fn svm_logits<E: Elem>(
    support: &Tensor<E>,
    labels: &Indices,
    ways: usize,
    c: f64,
    queries: &Tensor<E>,
) -> Result<Tensor<E>> {
    let features = support.t()?;
    let alpha = svm_dual(&support.matmul(&features)?, labels, ways, c)?;
    Ok(queries.matmul(&features)?.matmul(&alpha)?)
}

/// The quadratic programme as plain numbers.
struct Problem<'a> {
    kernel: Vec<f64>,
    labels: &'a [usize],
    ways: usize,
    c: f64,
}

impl Problem<'_> {
    fn upper(&self, i: usize, k: usize) -> f64 {
        if self.labels[i] == k { self.c } else { 0.0 }
    }

    /// `(K α)_i + α_i - e_i`: the slope of the objective by a sample's numbers.
    fn slope(&self, alpha: &[f64], i: usize) -> Vec<f64> {
        let (n, ways) = (self.labels.len(), self.ways);
        let mut slope = alpha[i * ways..(i + 1) * ways].to_vec();
        for (j, row) in alpha.chunks(ways).enumerate() {
            let weight = self.kernel[i * n + j];
            slope.iter_mut().zip(row).for_each(|(s, a)| *s += weight * a);
        }
        slope[self.labels[i]] -= 1.0;
        slope
    }

    /// Which numbers are at their bound, by exact minimisation over one sample at
    /// a time.
    fn approximate(&self) -> Vec<bool> {
        let (n, ways) = (self.labels.len(), self.ways);
        let mut alpha = vec![0.0; n * ways];
        for _ in 0..SWEEPS {
            let mut change = 0.0_f64;
            for i in 0..n {
                let curvature = self.kernel[i * n + i].max(0.0) + 1.0;
                let slope = self.slope(&alpha, i);
                let own = &mut alpha[i * ways..(i + 1) * ways];
                let aim: Vec<f64> =
                    own.iter().zip(&slope).map(|(a, s)| a - s / curvature).collect();
                let upper: Vec<f64> = (0..ways).map(|k| self.upper(i, k)).collect();
                for (a, new) in own.iter_mut().zip(project(&aim, &upper)) {
                    change = change.max((*a - new).abs());
                    *a = new;
                }
            }
            if change <= 1e-10 * self.c {
                break;
            }
        }
        (0..n * ways).map(|at| alpha[at] >= self.upper(at / ways, at % ways)).collect()
    }

    /// Frees what wants to leave its bound and binds what has passed it; whether
    /// anything changed.
    fn refine<E: Elem>(&self, alpha: &Tensor<E>, prices: &[f64], bound: &mut [bool]) -> bool {
        let alpha: Vec<f64> = alpha.to_vec().into_iter().map(E::to_f64).collect();
        let slack = 1e3 * E::EPSILON.to_f64();
        let mut changed = false;
        for (i, price) in prices.iter().enumerate() {
            let slope = self.slope(&alpha, i);
            for (k, slope) in slope.into_iter().enumerate() {
                let at = i * self.ways + k;
                let upper = self.upper(i, k);
                if bound[at] && slope + price > slack * (1.0 + slope.abs()) {
                    // The objective falls towards the inside.
                    bound[at] = false;
                    changed = true;
                } else if !bound[at] && alpha[at] > upper + slack * self.c {
                    bound[at] = true;
                    changed = true;
                }
            }
            let own = &mut bound[i * self.ways..(i + 1) * self.ways];
            if own.iter().all(|b| *b) {
                own[self.labels[i]] = false;
            }
        }
        changed
    }
}

/// The nearest point to `aim` with a sum of 0 and each number at most its upper
/// bound: `min(aim + t, upper)`, the `t` by its breakpoints.
fn project(aim: &[f64], upper: &[f64]) -> Vec<f64> {
    // From the number that meets its bound first on.
    let mut order: Vec<usize> = (0..aim.len()).collect();
    order.sort_by(|&a, &b| (upper[a] - aim[a]).total_cmp(&(upper[b] - aim[b])));
    let (mut free, mut fixed) = (aim.iter().sum::<f64>(), 0.0);
    let mut count = aim.len();
    let mut shift = -free / count as f64;
    for at in order {
        if shift <= upper[at] - aim[at] || count == 1 {
            break;
        }
        free -= aim[at];
        fixed += upper[at];
        count -= 1;
        shift = -(free + fixed) / count as f64;
    }
    aim.iter().zip(upper).map(|(a, u)| (a + shift).min(*u)).collect()
}

/// The minimum where these numbers are at their bounds and the others free, and
/// the price of the sum of every sample: with `H` the Hessian and `A` the sums
/// over the free numbers, `H α + Aᵀ ν = r`, `A α = s`.
fn on_face<E: Elem>(
    kernel: &Tensor<E>,
    bound: &[bool],
    problem: &Problem<'_>,
) -> Result<(Tensor<E>, Vec<f64>)> {
    let (n, ways) = (problem.labels.len(), problem.ways);
    let free: Vec<usize> = (0..n * ways).filter(|&at| !bound[at]).collect();
    let number = |x: f64| E::from_f64(x);
    let upper = |at: usize| problem.upper(at / ways, at % ways);
    // The numbers at their bounds: those of the own class at C, all others 0.
    let held: Vec<E> =
        (0..n * ways).map(|at| number(if bound[at] { upper(at) } else { 0.0 })).collect();
    let held = Tensor::from_vec(held, [n, ways])?;
    let samples = Indices::from(free.iter().map(|at| at / ways).collect::<Vec<_>>());
    let classes: Vec<usize> = free.iter().map(|at| at % ways).collect();

    let same: Vec<E> = classes
        .iter()
        .flat_map(|a| classes.iter().map(move |b| number(f64::from(u8::from(a == b)))))
        .collect();
    let f = free.len();
    let same = Tensor::from_vec(same, [f, f])?;
    let rows = kernel.index_select(0, &samples)?;
    let hessian = rows.index_select(1, &samples)?.mul(&same)?.add(&Tensor::eye(f))?;
    let positions = Indices::from(classes);
    let pull = rows.matmul(&held)?.mul(&Tensor::<E>::one_hot(&positions, ways)?)?.sum(1, true)?;
    let own: Vec<E> = free
        .iter()
        .map(|at| number(f64::from(u8::from(problem.labels[at / ways] == at % ways))))
        .collect();
    let right = Tensor::from_vec(own, [f, 1])?.sub(&pull)?;

    let sums = Tensor::<E>::one_hot(&samples, n)?;
    let factor = hessian.cholesky()?;
    let (of_right, of_sums) = (factor.cholesky_solve(&right)?, factor.cholesky_solve(&sums)?);
    let schur = sums.t()?.matmul(&of_sums)?;
    let excess = sums.t()?.matmul(&of_right)?.add(&held.sum(1, true)?)?;
    let prices = schur.cholesky()?.cholesky_solve(&excess)?;
    let alpha = of_right.sub(&of_sums.matmul(&prices)?)?;

    let places = Indices::from(free);
    let whole = held.reshape([n * ways, 1])?.index_add(0, &places, &alpha)?.reshape([n, ways])?;
    Ok((whole, prices.to_vec().into_iter().map(E::to_f64).collect()))
}

/// MetaOptNet with a support vector machine (Lee et al. 2019): [`svm_logits`]
/// times a learned scale. The scale begins at 1, `C` is 0.1, as in the authors'
/// code. For its ridge variant see [`RidgeHead`](crate::RidgeHead), which is that
/// of R2D2.
#[derive(Clone, Debug)]
pub struct SvmHead {
    /// What the logits are multiplied by.
    pub scale: Param,
    /// The bound `C`: the larger, the less is regularised.
    pub c: f64,
}
module!(SvmHead { scale; skip c });

impl Default for SvmHead {
    fn default() -> Self {
        Self { scale: Param::new(Tensor::scalar(1.0)), c: 0.1 }
    }
}

impl Head for SvmHead {
    fn logits(
        &self,
        support: &Tensor,
        labels: &Indices,
        ways: usize,
        queries: &Tensor,
    ) -> Result<Tensor> {
        let logits = svm_logits(support, labels, ways, self.c, queries)?;
        Ok(logits.mul(self.scale.tensor())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn random(seed: u64, dims: &[usize]) -> Tensor<f64> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        Tensor::randn(tl_nn::Shape::new(dims).unwrap(), &mut rng)
    }

    #[test]
    fn two_samples_by_hand() {
        // α = [a, -a; -b, b] by symmetry with a = b: the objective is
        // 2 a² (1 + (k - r)) - 2 a for a kernel of k on and r off the diagonal, so
        // a = 1 / (2 (1 + k - r)), or C if that is less.
        let kernel = Tensor::<f64>::from_slice(&[1.0, 0.5, 0.5, 1.0], [2, 2]).unwrap();
        let labels = Indices::from(vec![0, 1]);
        let free = svm_dual(&kernel, &labels, 2, 10.0).unwrap().to_vec();
        for (got, want) in free.iter().zip([1.0, -1.0, -1.0, 1.0]) {
            approx::assert_abs_diff_eq!(*got, want / 3.0, epsilon = 1e-12);
        }
        let bound = svm_dual(&kernel, &labels, 2, 0.1).unwrap().to_vec();
        for (got, want) in bound.iter().zip([0.1, -0.1, -0.1, 0.1]) {
            approx::assert_abs_diff_eq!(*got, want, epsilon = 1e-12);
        }
    }

    /// The conditions of Karush, Kuhn and Tucker, which prove a minimum of a
    /// convex problem.
    #[test]
    fn solutions_are_optimal() {
        for (seed, (ways, shots, d)) in
            [(2, 1, 3), (5, 1, 8), (5, 5, 4), (3, 4, 40), (20, 1, 16), (4, 7, 2)]
                .into_iter()
                .enumerate()
        {
            for (c, size) in [(0.1, 1.0), (0.1, 10.0), (1.0, 0.3), (50.0, 2.0)] {
                let n = ways * shots;
                let x = random(seed as u64, &[n, d]).mul_scalar(size);
                let kernel = x.matmul(&x.t().unwrap()).unwrap();
                let labels: Vec<usize> = (0..n).map(|i| i % ways).collect();
                let alpha = svm_dual(&kernel, &Indices::from(labels.clone()), ways, c).unwrap();
                let alpha = alpha.to_vec();
                let problem = Problem { kernel: kernel.to_vec(), labels: &labels, ways, c };
                for i in 0..n {
                    let own = &alpha[i * ways..(i + 1) * ways];
                    approx::assert_abs_diff_eq!(own.iter().sum::<f64>(), 0.0, epsilon = 1e-9);
                    let slope = problem.slope(&alpha, i);
                    let free = |k: &usize| own[*k] < problem.upper(i, *k) - 1e-9;
                    let prices: Vec<f64> = (0..ways).filter(free).map(|k| -slope[k]).collect();
                    let price = prices.iter().sum::<f64>() / prices.len() as f64;
                    for k in 0..ways {
                        assert!(own[k] <= problem.upper(i, k) + 1e-9);
                        if free(&k) {
                            approx::assert_abs_diff_eq!(slope[k] + price, 0.0, epsilon = 1e-7);
                        } else {
                            assert!(slope[k] + price <= 1e-7, "{i} {k}: {}", slope[k] + price);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn single_precision_agrees() {
        let x = random(3, &[10, 6]);
        let labels = Indices::from((0..10).map(|i| i % 5).collect::<Vec<_>>());
        let queries = random(4, &[7, 6]);
        let exact = svm_logits(&x, &labels, 5, 0.1, &queries).unwrap().to_vec();
        let (x, queries) = (x.cast::<f32>(), queries.cast::<f32>());
        let got = svm_logits(&x, &labels, 5, 0.1, &queries).unwrap().to_vec();
        for (got, want) in got.iter().zip(exact) {
            approx::assert_abs_diff_eq!(f64::from(*got), want, epsilon = 1e-4);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let kernel = Tensor::<f64>::eye(2);
        let labels = || Indices::from(vec![0, 1]);
        let say = |e: Error| e.to_string();
        assert!(say(svm_dual(&kernel, &labels(), 1, 0.1).unwrap_err()).contains("labels"));
        assert!(say(svm_dual(&kernel, &labels(), 2, 0.0).unwrap_err()).contains("c is 0.0"));
        let one = Indices::from(vec![0]);
        assert!(say(svm_dual(&kernel, &one, 2, 0.1).unwrap_err()).contains("[n, n]"));
        let bad = Tensor::<f64>::full([2, 2], f64::NAN);
        assert!(say(svm_dual(&bad, &labels(), 2, 0.1).unwrap_err()).contains("finite"));
    }
}
