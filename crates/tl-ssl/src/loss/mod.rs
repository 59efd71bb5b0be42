//! What two views of a sample should have in common.

mod cluster;
mod contrastive;
mod masked;
mod pairs;
mod redundancy;
mod side;

pub use cluster::{dino, sinkhorn_assign, swav};
pub use contrastive::{info_nce, negative_cosine, nt_xent, nt_xent_views, simcse, sup_con};
pub use masked::mae_loss;
pub use redundancy::{VicReg, VicRegConvention, barlow_twins, vicreg};

use crate::{Error, Result};
use tl_tensor::{Elem, Tensor};

/// Two matrices of one shape, with two rows or more.
fn pair<E: Elem>(what: &'static str, a: &Tensor<E>, b: &Tensor<E>) -> Result<[usize; 2]> {
    match (a.dims(), b.dims()) {
        (&[n, d], other) if other == [n, d] && n > 1 && d > 0 => Ok([n, d]),
        (a, b) => {
            let got = format!("{a:?} and {b:?}");
            Err(Error::argument(what, "views", got, "[n, d] twice, with two samples or more"))
        }
    }
}

fn temperature(what: &'static str, t: f64) -> Result<()> {
    if t.is_finite() && t > 0.0 {
        return Ok(());
    }
    Err(Error::argument(what, "temperature", t, "a number above 0"))
}

/// Rows of length 1; a row of zeros stays.
pub(crate) fn unit<E: Elem>(x: &Tensor<E>) -> tl_tensor::Result<Tensor<E>> {
    x.mul(&x.square().sum(-1, true)?.add_scalar(E::from_f64(1e-24)).rsqrt())
}
