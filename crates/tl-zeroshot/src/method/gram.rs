//! Products of a matrix with itself.

use crate::Result;
use tl_nn::Tensor;

/// Columns of a strip: wide enough for a fast product.
const STRIP: usize = 256;

/// `xᵀ x` `[d, d]` of `[n, d]`. Only strips on and above the diagonal are
/// computed, the rest is their mirror image: about half the work where `d` is
/// large.
pub(super) fn gram(x: &Tensor<f64>) -> Result<Tensor<f64>> {
    let d = x.size(1)?;
    if d <= STRIP {
        return Ok(x.t()?.matmul(x)?);
    }
    let mut out = vec![0.0; d * d];
    for start in (0..d).step_by(STRIP) {
        let (width, rest) = (STRIP.min(d - start), d - start);
        let strip = x.narrow(1, start, width)?.t()?.matmul(&x.narrow(1, start, rest)?)?.to_vec();
        for (i, row) in strip.chunks_exact(rest).enumerate() {
            for (j, &value) in row.iter().enumerate() {
                out[(start + i) * d + start + j] = value;
                out[(start + j) * d + start + i] = value;
            }
        }
    }
    Ok(Tensor::from_vec(out, [d, d])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn strips_give_the_whole_product() {
        let rng = &mut rand_chacha::ChaCha8Rng::seed_from_u64(0);
        for d in [3, 256, 257, 600] {
            let x = Tensor::<f64>::randn([5, d], rng);
            let want = x.t().unwrap().matmul(&x).unwrap().to_vec();
            for (got, want) in gram(&x).unwrap().to_vec().iter().zip(want) {
                assert!((got - want).abs() < 1e-12);
            }
        }
    }
}
