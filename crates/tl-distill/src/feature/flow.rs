//! Flow of the solution procedure.

use super::one_size;
use crate::check::{maps, same_shape};
use tl_nn::loss;
use tl_tensor::{Elem, Reduction, Result, Tensor};

/// The flow between two layers (Yim et al. 2017, eq. 1): the mean over places
/// of the products of their channels, `[n, c_first, c_second]`. The larger map
/// is pooled to the smaller one's size.
///
/// # Errors
/// Not two maps of the same samples.
pub fn flow_of<E: Elem>(first: &Tensor<E>, second: &Tensor<E>) -> Result<Tensor<E>> {
    maps("flow", first, second)?;
    let (a, b) = one_size(first, second)?;
    let places = (a.dims()[2] * a.dims()[3]) as f64;
    let product = a.flatten(2, 3)?.matmul(&b.flatten(2, 3)?.transpose(1, 2)?)?;
    Ok(product.mul_scalar(E::from_f64(1.0 / places)))
}

/// FSP (Yim et al. 2017, eq. 2): the mean squared difference of the
/// [`flow_of`] a pair of layers in the student and of a pair in the teacher,
/// over all numbers. The channels must be equal in number. The paper trains
/// with it first and with labels after; weight 50 in libraries.
///
/// # Errors
/// Not maps of the same samples; other numbers of channels.
pub fn flow<E: Elem>(student: [&Tensor<E>; 2], teacher: [&Tensor<E>; 2]) -> Result<Tensor<E>> {
    let s = flow_of(student[0], student[1])?;
    let t = flow_of(&teacher[0].detach(), &teacher[1].detach())?;
    same_shape("flow", &s, &t)?;
    loss::mse(&s, &t, Reduction::Mean)
}
