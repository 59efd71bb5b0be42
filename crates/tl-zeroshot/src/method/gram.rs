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
        // In rows, which a product reads where they lie: samples are far apart.
        let left = x.narrow(1, start, width)?.t()?.contiguous();
        let strip = left.matmul(&x.narrow(1, start, rest)?)?;
        let mirrored = strip.narrow(1, width, rest - width)?.t()?;
        put(&mut out, (d, start, start), &strip);
        put(&mut out, (d, start + width, start), &mirrored);
    }
    Ok(Tensor::from_vec(out, [d, d])?)
}

/// Writes a block into a matrix of width `d`, from this row and column on.
fn put(out: &mut [f64], (d, row, column): (usize, usize, usize), block: &Tensor<f64>) {
    let width = block.dims()[1].max(1);
    for (i, line) in block.to_vec().chunks_exact(width).enumerate() {
        out[(row + i) * d + column..][..width].copy_from_slice(line);
    }
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
