//! The hierarchical context loss.

use crate::check::{c, same_shape};
use tl_nn::loss;
use tl_tensor::{Elem, Error, Reduction, Result, Tensor};

/// The hierarchical context loss of "Distilling knowledge via knowledge review"
/// (Chen et al. 2021, section 3.3): the mean squared difference of two maps
/// `[n, c, h, w]` and of the same pooled to 4x4, 2x2 and 1x1, with weights
/// 1, ½, ¼ and ⅛, divided by their sum. Sizes that are not smaller than the
/// map's are left out.
///
/// # Errors
/// The shapes differ or are not those of maps.
pub fn hierarchical_context<E: Elem>(
    student: &Tensor<E>,
    teacher: &Tensor<E>,
) -> Result<Tensor<E>> {
    const OP: &str = "hierarchical_context";
    same_shape(OP, student, teacher)?;
    if student.rank() != 4 {
        return Err(Error::shape(OP, student.shape(), "[n, c, h, w]"));
    }
    let teacher = teacher.detach();
    let height = student.dims()[2];
    let mut sum = loss::mse(student, &teacher, Reduction::Mean)?;
    let (mut weight, mut total) = (1.0, 1.0);
    for size in [4, 2, 1] {
        if size >= height {
            continue;
        }
        weight /= 2.0;
        total += weight;
        let pooled = |f: &Tensor<E>| f.adaptive_avg_pool2d([size, size]);
        let part = loss::mse(&pooled(student)?, &pooled(&teacher)?, Reduction::Mean)?;
        sum = sum.add(&part.mul_scalar(c(weight)))?;
    }
    Ok(sum.mul_scalar(c(1.0 / total)))
}
