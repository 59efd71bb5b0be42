//! The softmax over all pairs of a batch, in one step.

use super::unit;
use crate::Result;
use tl_tensor::{Elem, Op, Tensor, Value, Vjp};

/// Which rows should be alike. Row `i` weighs each of its positives equally.
pub(super) struct Positives {
    /// The positives of all rows, one row after the other.
    all: Vec<usize>,
    /// Where those of row `i` are in `all`: from `ends[i]` to `ends[i + 1]`.
    ends: Vec<usize>,
    /// What each positive of row `i` weighs.
    weight: Vec<f64>,
}

impl Positives {
    /// From each row's positives; all rows that have one weigh the same, and
    /// their weights sum to 1. `None` if no row has one.
    pub(super) fn new(rows: impl Iterator<Item = Vec<usize>>) -> Option<Self> {
        let (mut all, mut ends) = (Vec::new(), vec![0]);
        for row in rows {
            all.extend(row);
            ends.push(all.len());
        }
        let counts = || ends.windows(2).map(|w| w[1] - w[0]);
        let anchors = counts().filter(|count| *count > 0).count();
        let each = |count: usize| 1.0 / (count.max(1) * anchors) as f64;
        let weight = counts().map(each).collect();
        (anchors > 0).then_some(Self { all, ends, weight })
    }

    fn of(&self, row: usize) -> &[usize] {
        &self.all[self.ends[row]..self.ends[row + 1]]
    }

    fn rows(&self) -> usize {
        self.weight.len()
    }

    /// The sum of a row's weights: the same for all rows, but 0 without positives.
    fn mass(&self, row: usize) -> f64 {
        self.of(row).len() as f64 * self.weight[row]
    }

    /// All weights, `[n, n]`.
    fn dense<E: Elem>(&self) -> tl_tensor::Result<Tensor<E>> {
        let n = self.rows();
        let mut weights = vec![E::ZERO; n * n];
        for row in 0..n {
            for &positive in self.of(row) {
                weights[row * n + positive] += E::from_f64(self.weight[row]);
            }
        }
        Tensor::from_vec(weights, [n, n])
    }
}

/// Up to so many rows all pairs are in memory at once; beyond, `BLOCK` rows of
/// them at a time.
const AT_ONCE: usize = 2048;
const BLOCK: usize = 512;

/// `-Σ_i Σ_{j ∈ positives(i)} w_i ln softmax_{k≠i}(z_i·z_k/τ)_j` with rows of
/// length 1, of `z` `[n, d]`.
///
/// With `P` the softmax and `W` the weights the gradient of the similarities is
/// `G = diag(W1) P - W`, and that of the rows `(G + Gᵀ) z`. It is computed with
/// the loss, so that no pairs wait for the backward pass: two products in all,
/// `n²` of memory up to 2,048 rows, then `512 n`.
pub(super) fn contrast<E: Elem>(
    z: &Tensor<E>,
    tau: f64,
    positives: Positives,
) -> Result<Tensor<E>> {
    let z = unit(z)?.mul_scalar(E::from_f64(tau.recip().sqrt()));
    let (rows, wanted) = (z.detach(), z.is_tracked());
    let (loss, slope) = if positives.rows() <= AT_ONCE {
        at_once(&rows, &positives, wanted)?
    } else {
        in_blocks(&rows, &positives, wanted)?
    };
    let value = Tensor::scalar(E::from_f64(loss)).into_value();
    Ok(Tensor::from_op(value, &[&z], || Contrast { z: z.value().clone(), slope, positives }))
}

/// The loss, and its gradient if it is `wanted`.
fn at_once<E: Elem>(
    z: &Tensor<E>,
    positives: &Positives,
    wanted: bool,
) -> Result<(f64, Tensor<E>)> {
    let (loss, p) = block(z, z, 0, positives)?;
    if !wanted {
        return Ok((loss, p));
    }
    let g = positives.slope(p, 0)?;
    Ok((loss, g.add(&g.t()?)?.matmul(z)?))
}

/// The loss of the rows `part` of `z`, which begin at row `from`, and their
/// softmax `[part, n]`.
fn block<E: Elem>(
    part: &Tensor<E>,
    z: &Tensor<E>,
    from: usize,
    positives: &Positives,
) -> Result<(f64, Tensor<E>)> {
    let n = positives.rows();
    let mut similar = part.matmul(&z.t()?)?;
    similar.update_in_place(|s| {
        s[from..].iter_mut().step_by(n + 1).for_each(|own| *own = -E::INFINITY);
    });
    let p = similar.softmax(-1)?;
    let loss = match (similar.value().as_slice(), p.value().as_slice()) {
        (Some(s), Some(p)) => total(s, p, from, positives),
        _ => total(&similar.to_vec(), &p.to_vec(), from, positives),
    };
    Ok((loss, p))
}

/// [`at_once`] without more than a block of the pairs in memory, for one product
/// more.
fn in_blocks<E: Elem>(
    z: &Tensor<E>,
    positives: &Positives,
    wanted: bool,
) -> Result<(f64, Tensor<E>)> {
    let n = positives.rows();
    let (mut loss, mut own, mut other) = (0.0, Vec::new(), Tensor::zeros(*z.shape()));
    for from in (0..n).step_by(BLOCK) {
        let part = z.narrow(0, from, BLOCK.min(n - from))?;
        let (of_block, p) = block(&part, z, from, positives)?;
        loss += of_block;
        if wanted {
            let g = positives.slope(p, from)?;
            own.push(g.matmul(z)?);
            other = other.add(&g.t()?.matmul(&part)?)?;
        }
    }
    if !wanted {
        return Ok((loss, other));
    }
    let own: Vec<&Tensor<E>> = own.iter().collect();
    Ok((loss, Tensor::cat(&own, 0)?.add(&other)?))
}

/// The loss of some rows from their similarities and softmax.
fn total<E: Elem>(s: &[E], p: &[E], from: usize, positives: &Positives) -> f64 {
    let n = positives.rows();
    let row = |(i, (s, p)): (usize, (&[E], &[E]))| -> f64 {
        let own = positives.of(from + i);
        // Any place tells the logarithm of the sum; the largest is never 0.
        let first = own.first().copied().filter(|&j| p[j].to_f64() > 1e-12);
        let largest = || (0..n).fold(0, |best, k| if p[k] > p[best] { k } else { best });
        let at = first.unwrap_or_else(largest);
        let log_sum = s[at].to_f64() - p[at].to_f64().ln();
        let sum: f64 = own.iter().map(|&j| log_sum - s[j].to_f64()).sum();
        if own.is_empty() { 0.0 } else { positives.weight[from + i] * sum }
    };
    s.chunks_exact(n).zip(p.chunks_exact(n)).enumerate().map(row).sum()
}

impl Positives {
    /// `diag(W1) P - W` for the rows from `from` on, in the place of their `p`.
    fn slope<E: Elem>(&self, p: Tensor<E>, from: usize) -> tl_tensor::Result<Tensor<E>> {
        let n = self.rows();
        let mut g = p;
        g.update_in_place(|g| {
            for (i, row) in g.chunks_exact_mut(n).enumerate() {
                let mass = E::from_f64(self.mass(from + i));
                row.iter_mut().for_each(|p| *p *= mass);
                for &j in self.of(from + i) {
                    row[j] += E::from_f64(-self.weight[from + i]);
                }
            }
        });
        Ok(g)
    }
}

struct Contrast<E: Elem> {
    z: Value<E>,
    /// The gradient of `z`; untracked.
    slope: Tensor<E>,
    positives: Positives,
}

impl<E: Elem> Op<E> for Contrast<E> {
    fn name(&self) -> &'static str {
        "contrast"
    }

    fn vjp(&self, cx: &mut Vjp<'_, E>, g: Tensor<E>) -> tl_tensor::Result<()> {
        if cx.create_graph() {
            let weights = self.positives.dense::<E>()?;
            return cx.composite(&[&self.z], &g, |t| {
                let own = Tensor::eye(self.positives.rows());
                let similar = t[0].matmul(&t[0].t()?)?;
                let hidden = similar.masked_fill(&own, E::from_f64(-1e30))?;
                let log_p = hidden.log_softmax(-1)?.masked_fill(&own, E::ZERO)?;
                Ok(log_p.mul(&weights)?.sum_all().neg())
            });
        }
        cx.give(0, || Ok(self.slope.mul_scalar(g.item()?)))
    }
}
