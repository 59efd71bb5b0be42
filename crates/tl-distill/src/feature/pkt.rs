//! Probabilistic knowledge transfer.

use super::flat;
use crate::check::{c, samples};
use tl_tensor::{Elem, Result, Tensor};

/// Probabilistic knowledge transfer (Passalis and Tefas 2018, eq. 7): cosine
/// similarities of the samples of a batch, moved to 0 to 1 by `(cos + 1) / 2`,
/// each row divided by its sum, and `mean p_t ln((p_t + ε) / (p_s + ε))` with
/// `ε` 1e-7. The mean is over all `n²` numbers, as in the authors' code, which
/// is why libraries take weight 30,000. Shapes after the first axis may differ.
///
/// # Errors
/// Not features of the same samples, at least two.
pub fn pkt<E: Elem>(student: &Tensor<E>, teacher: &Tensor<E>) -> Result<Tensor<E>> {
    const TINY: f64 = 1e-7;
    samples("pkt", student, teacher, 2)?;
    let chances = |f: &Tensor<E>| -> Result<Tensor<E>> {
        let f = flat(f)?;
        let f = f.div(&f.norm([1], true)?.add_scalar(c(TINY)))?;
        let near = f.matmul(&f.t()?)?.affine(c(0.5), c(0.5));
        near.div(&near.sum([1], true)?)
    };
    let log = |p: &Tensor<E>| p.add_scalar(c(TINY)).log();
    let (s, t) = (chances(student)?, chances(&teacher.detach())?);
    Ok(t.mul(&log(&t).sub(&log(&s))?)?.mean_all())
}
