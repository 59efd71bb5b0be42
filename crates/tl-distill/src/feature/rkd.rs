//! Relational knowledge distillation.

use super::{flat, unit};
use crate::check::{c, samples};
use tl_nn::loss;
use tl_tensor::{Elem, Reduction, Result, Tensor};

/// Distances of all pairs, `[n, n]`, divided by their mean. Samples that are
/// equal count as 1e-6 apart, so that a dead layer gives a number.
fn distances<E: Elem>(f: &Tensor<E>) -> Result<Tensor<E>> {
    let f = flat(f)?;
    let n = f.dims()[0];
    let square = f.square().sum([1], true)?;
    let cross = f.matmul(&f.t()?)?.mul_scalar(c(-2.0));
    let squares = square.add(&square.t()?)?.add(&cross)?.clamp(c(1e-12), E::INFINITY);
    // The diagonal is exactly 0, and the root's derivative there is not asked for.
    let all = squares.sqrt().masked_fill(&Tensor::eye(n), E::ZERO)?;
    let pairs = (n * (n - 1)) as f64;
    let mean = all.sum_all().mul_scalar(c(1.0 / pairs));
    all.div(&mean)
}

/// The distance-wise part (Park et al. 2019, eq. 5 and 6): Huber's loss
/// (`delta` 1, the mean over all `n²` pairs) of Euclidean distances, each
/// network's divided by their own mean over the pairs. Equal samples count as
/// 1e-6 apart. Shapes after the first axis may differ.
///
/// # Errors
/// Not features of the same samples, at least two.
pub fn rkd_distance<E: Elem>(student: &Tensor<E>, teacher: &Tensor<E>) -> Result<Tensor<E>> {
    samples("rkd_distance", student, teacher, 2)?;
    loss::huber(&distances(student)?, &distances(&teacher.detach())?, 1.0, Reduction::Mean)
}

/// The angle-wise part (Park et al. 2019, eq. 7 and 8): Huber's loss
/// (`delta` 1, the mean over all `n³` triples) of the cosines of the angles at
/// `i` between the directions to `j` and `k`.
///
/// # Errors
/// Not features of the same samples, at least three.
pub fn rkd_angle<E: Elem>(student: &Tensor<E>, teacher: &Tensor<E>) -> Result<Tensor<E>> {
    samples("rkd_angle", student, teacher, 3)?;
    let cosines = |f: &Tensor<E>| -> Result<Tensor<E>> {
        let f = flat(f)?;
        let directions = unit(&f.unsqueeze(0)?.sub(&f.unsqueeze(1)?)?, 2)?;
        directions.matmul(&directions.transpose(1, 2)?)
    };
    loss::huber(&cosines(student)?, &cosines(&teacher.detach())?, 1.0, Reduction::Mean)
}

/// Relational knowledge distillation (Park et al. 2019):
/// `distance · `[`rkd_distance`]` + angle · `[`rkd_angle`]. Weights 25 and 50
/// in the paper. An angle costs memory for `n³` numbers.
///
/// # Errors
/// As its parts.
pub fn rkd<E: Elem>(
    student: &Tensor<E>,
    teacher: &Tensor<E>,
    distance: f64,
    angle: f64,
) -> Result<Tensor<E>> {
    let far = rkd_distance(student, teacher)?.mul_scalar(c(distance));
    far.add(&rkd_angle(student, teacher)?.mul_scalar(c(angle)))
}
