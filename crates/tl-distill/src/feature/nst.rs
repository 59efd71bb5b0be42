//! Neuron selectivity transfer.

use super::{one_size, unit};
use crate::check::{c, maps};
use tl_tensor::{Elem, Result, Tensor};

/// Neuron selectivity transfer (Huang and Wang 2017, eq. 5): the maximum mean
/// discrepancy of the channels' activation patterns, each divided by its norm,
/// with the kernel `k(x, y) = (x · y)²`:
/// `mean k(t, t) + mean k(s, s) - 2 mean k(s, t)`. Maps `[n, c, h, w]`; the
/// numbers of channels may differ. Weight 50 in libraries.
///
/// # Errors
/// Not two maps of the same samples.
pub fn nst<E: Elem>(student: &Tensor<E>, teacher: &Tensor<E>) -> Result<Tensor<E>> {
    maps("nst", student, teacher)?;
    let (s, t) = one_size(student, &teacher.detach())?;
    let patterns = |f: &Tensor<E>| unit(&f.flatten(2, 3)?, 2);
    let (s, t) = (patterns(&s)?, patterns(&t)?);
    let kernel = |a: &Tensor<E>, b: &Tensor<E>| -> Result<Tensor<E>> {
        Ok(a.matmul(&b.transpose(1, 2)?)?.square().mean_all())
    };
    kernel(&t, &t)?.add(&kernel(&s, &s)?)?.sub(&kernel(&s, &t)?.mul_scalar(c(2.0)))
}
