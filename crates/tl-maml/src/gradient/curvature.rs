//! Meta-curvature: gradients turned by learned matrices.

use crate::Result;
use tl_nn::{Param, Tensor};
use tl_tensor::Elem;

/// A gradient multiplied along each of its axes by a square matrix, `g ×₁ M₁ ×₂
/// M₂ ×₃ M₃` (Park and Oliva 2019, eq. 8). A gradient of rank above 2, such as
/// that of a convolution `[out, in, h, w]`, counts as `[out, in, h·w]`.
///
/// # Errors
/// Matrices whose number or sizes do not fit.
pub fn precondition<E: Elem>(g: &Tensor<E>, factors: &[Tensor<E>]) -> Result<Tensor<E>> {
    let sizes = factor_sizes(g.dims());
    if sizes.len() != factors.len() {
        let got = format!("{} matrices for {:?}", factors.len(), g.dims());
        let expected = "one for each axis of the gradient, with all after the second as one";
        return Err(crate::Error::argument("precondition", "factors", got, expected));
    }
    Ok(match factors {
        [] => g.clone(),
        [one] => one.matmul(&g.reshape([sizes[0], 1])?)?.reshape(*g.shape())?,
        [rows, columns] => rows.matmul(g)?.matmul(&columns.t()?)?,
        [first, second, third, ..] => {
            let flat = g.reshape([sizes[0], sizes[1] * sizes[2]])?;
            let g3 = first.matmul(&flat)?.reshape([sizes[0], sizes[1], sizes[2]])?;
            second.matmul(&g3)?.matmul(&third.t()?)?.reshape(*g.shape())?
        }
    })
}

/// The sizes of the matrices for a weight of these dimensions.
fn factor_sizes(dims: &[usize]) -> Vec<usize> {
    match dims {
        [a, b, rest @ ..] if !rest.is_empty() => vec![*a, *b, rest.iter().product()],
        other => other.to_vec(),
    }
}

/// Unit matrices for a weight of these dimensions: no change at first.
pub(super) fn identity(dims: &[usize]) -> Vec<Param> {
    factor_sizes(dims).into_iter().map(|n| Param::new(Tensor::eye(n))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_product_along_every_axis() {
        let g = Tensor::<f64>::linspace(-1.0, 2.0, 24).reshape([2, 3, 2, 2]).unwrap();
        let m = |n: usize, a: f64| {
            Tensor::from_vec((0..n * n).map(|i| (i as f64 * a).sin()).collect(), [n, n]).unwrap()
        };
        let factors = [m(2, 0.3), m(3, 0.7), m(4, 1.1)];
        let got = precondition(&g, &factors).unwrap().to_vec();
        let [a, b, c] = factors.each_ref().map(Tensor::to_vec);
        let g = g.to_vec();
        for (at, got) in got.iter().enumerate() {
            let (i, j, k) = (at / 12, at / 4 % 3, at % 4);
            let mut want = 0.0;
            for p in 0..2 {
                for q in 0..3 {
                    for r in 0..4 {
                        want += a[i * 2 + p] * b[j * 3 + q] * c[k * 4 + r] * g[p * 12 + q * 4 + r];
                    }
                }
            }
            approx::assert_relative_eq!(*got, want, max_relative = 1e-12);
        }
        assert!(precondition(&Tensor::<f64>::zeros([2, 2]), &[m(2, 1.0)]).is_err());
    }
}
