//! FitNets' hints.

use crate::check::same_shape;
use tl_nn::loss;
use tl_tensor::{Elem, Reduction, Result, Tensor};

/// A hint (Romero et al. 2015, eq. 3): the mean squared difference of the
/// student's features, after a regressor, and the teacher's. The mean is over
/// all numbers, without the paper's ½; libraries take weight 100.
///
/// The regressor (a linear map of the channels) trains with the student and is
/// dropped afterwards; [`Hint`](crate::Hint) builds it. The paper trains the
/// hint in a stage before; today both train together.
///
/// # Errors
/// The shapes differ.
pub fn hint<E: Elem>(student: &Tensor<E>, teacher: &Tensor<E>) -> Result<Tensor<E>> {
    same_shape("hint", student, teacher)?;
    loss::mse(student, &teacher.detach(), Reduction::Mean)
}
