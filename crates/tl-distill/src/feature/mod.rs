//! Losses on what two networks compute on the way: features and relations.
//!
//! All take the student's features first and the teacher's second; no gradient
//! ever flows to the teacher. Maps `[n, c, h, w]` of different size are pooled
//! to the smaller one.

mod attention;
mod crd;
mod fitnets;
mod flow;
mod nst;
mod pkt;
mod review;
mod rkd;
mod similarity;
mod vid;

pub use attention::attention;
pub use crd::{Crd, contrast};
pub use fitnets::hint;
pub use flow::{flow, flow_of};
pub use nst::nst;
pub use pkt::pkt;
pub use review::{Review, hierarchical_context};
pub use rkd::{rkd, rkd_angle, rkd_distance};
pub use similarity::similarity_preserving;
pub use vid::{VID_START, vid};

use tl_tensor::{Elem, Result, Tensor};

/// Both maps at the size of the smaller one, axis by axis.
pub(crate) fn one_size<E: Elem>(a: &Tensor<E>, b: &Tensor<E>) -> Result<(Tensor<E>, Tensor<E>)> {
    let size = [a.dims()[2].min(b.dims()[2]), a.dims()[3].min(b.dims()[3])];
    let fit = |x: &Tensor<E>| {
        if x.dims()[2..] == size { Ok(x.clone()) } else { x.adaptive_avg_pool2d(size) }
    };
    Ok((fit(a)?, fit(b)?))
}

/// `[n, everything else]`.
fn flat<E: Elem>(x: &Tensor<E>) -> Result<Tensor<E>> {
    let n = x.dims()[0];
    x.reshape([n, x.numel().checked_div(n).unwrap_or(0)])
}

/// Divided by the norm over an axis, where that is above 1e-12.
fn unit<E: Elem>(x: &Tensor<E>, axis: isize) -> Result<Tensor<E>> {
    x.div(&x.norm([axis], true)?.maximum(&Tensor::scalar(E::from_f64(1e-12)))?)
}
