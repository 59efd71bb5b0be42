//! Geodesic flow kernel.

use super::{pair, power};
use crate::{Error, Result};
use tl_nn::{
    Tensor,
    shallow::{Pca, Svd},
};

/// The geodesic flow kernel (Gong et al. 2012, eq. 4 to 6): inner products under
/// `G = ∫ Φ(t) Φ(t)ᵀ dt`, where `Φ` goes from the subspace of the first `k`
/// principal directions of the source to that of the target along the shortest
/// path. Returns source and target features `[n, 2k]` and `[m, 2k]` whose inner
/// products are `x G yᵀ`, each domain with its own mean taken off: any learner
/// works on them.
///
/// With principal angles `θ`, `Φ(t) = A cos(θt) + W sin(θt)`; the paper's Λ are
/// the integrals of the products.
///
/// # Errors
/// Features that do not fit; `k` above what a domain has.
pub fn geodesic_flow(source: &Tensor, target: &Tensor, k: usize) -> Result<(Tensor, Tensor)> {
    let [_, _, d] = pair("GFK", source, target)?;
    if k == 0 || 2 * k > d {
        let expected = format!("1 to {}, half of the dimensions", d / 2);
        return Err(Error::argument("GFK", "k", k, expected));
    }
    let (from, to) = (Pca::fit(source, k)?, Pca::fit(target, k)?);
    let ps = from.components.t()?.cast::<f64>();
    let pt = to.components.t()?.cast::<f64>();
    let map = flow(&ps, &pt)?.cast::<f32>();
    Ok((source.sub(&from.mean)?.matmul(&map)?, target.sub(&to.mean)?.matmul(&map)?))
}

/// `L`, `[d, 2k]`, with `L Lᵀ = G`, of two orthonormal bases `[d, k]`.
fn flow(ps: &Tensor<f64>, pt: &Tensor<f64>) -> Result<Tensor<f64>> {
    let k = ps.size(1)?;
    let svd = Svd::of(&ps.t()?.matmul(pt)?)?;
    let a = ps.matmul(&svd.u)?;
    let end = pt.matmul(&svd.vt.t()?)?;
    let cosines: Vec<f64> = svd.s.to_vec().iter().map(|c| c.clamp(-1.0, 1.0)).collect();
    let (mut scale, mut blocks) = (vec![0.0; k], vec![0.0; 4 * k * k]);
    for (i, c) in cosines.iter().enumerate() {
        let theta = c.acos();
        // The integrals of cos², sin cos and sin² over the path.
        let (cc, sc, ss) = if theta < 1e-6 {
            (1.0, 0.0, 0.0)
        } else {
            let wave = (2.0 * theta).sin() / (2.0 * theta);
            let cross = (1.0 - (2.0 * theta).cos()) / (4.0 * theta);
            (0.5 * (1.0 + wave), cross, 0.5 * (1.0 - wave))
        };
        scale[i] = if theta < 1e-6 { 0.0 } else { 1.0 / theta.sin() };
        let at = |row: usize, column: usize| row * 2 * k + column;
        blocks[at(i, i)] = cc;
        blocks[at(k + i, k + i)] = ss;
        (blocks[at(i, k + i)], blocks[at(k + i, i)]) = (sc, sc);
    }
    // The part of the target's directions that the source has not.
    let w = end
        .sub(&a.mul(&Tensor::from_vec(cosines, [1, k])?)?)?
        .mul(&Tensor::from_vec(scale, [1, k])?)?;
    let basis = Tensor::cat(&[&a, &w], 1)?;
    let root = power(&Tensor::from_vec(blocks, [2 * k, 2 * k])?, 0.5)?;
    Ok(basis.matmul(&root)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// The integral by steps along the path.
    #[test]
    fn the_kernel_is_the_integral_of_the_path() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let base = |rng: &mut _| -> Result<Tensor<f64>> {
            Ok(Svd::of(&Tensor::<f64>::randn([6, 2], rng))?.u)
        };
        let (ps, pt) = (base(&mut rng)?, base(&mut rng)?);
        let l = flow(&ps, &pt)?;
        let got = l.matmul(&l.t()?)?.to_vec();
        let svd = Svd::of(&ps.t()?.matmul(&pt)?)?;
        let (a, end) = (ps.matmul(&svd.u)?, pt.matmul(&svd.vt.t()?)?);
        let theta: Vec<f64> = svd.s.to_vec().iter().map(|c| c.acos()).collect();
        let mut sum = Tensor::<f64>::zeros([6, 6]);
        let steps = 2000;
        for step in 0..steps {
            let t = (f64::from(step) + 0.5) / f64::from(steps);
            let row = |f: &dyn Fn(f64) -> f64| {
                Tensor::from_vec(theta.iter().map(|&x| f(x)).collect(), [1, 2])
            };
            // The arc between two unit vectors at an angle.
            let here = a
                .mul(&row(&|x| ((1.0 - t) * x).sin() / x.sin())?)?
                .add(&end.mul(&row(&|x| (t * x).sin() / x.sin())?)?)?;
            sum = sum.add(&here.matmul(&here.t()?)?)?;
        }
        for (a, b) in got.iter().zip(sum.mul_scalar(1.0 / f64::from(steps)).to_vec()) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
        Ok(())
    }

    #[test]
    fn equal_subspaces_are_the_projection() -> Result<()> {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(2);
        let p = Svd::of(&Tensor::<f64>::randn([5, 2], &mut rng))?.u;
        let l = flow(&p, &p)?;
        let (got, want) = (l.matmul(&l.t()?)?.to_vec(), p.matmul(&p.t()?)?.to_vec());
        for (a, b) in got.iter().zip(want) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        Ok(())
    }
}
