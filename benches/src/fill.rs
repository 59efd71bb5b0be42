//! Numbers that every side computes alike, so that ours and a twin work on the
//! same inputs with the same weights.

use tl_nn::{Indices, Module, ModuleExt, Param, Result, Shape, Tensor};

/// Number `i` of the stream that `seed` names, in -1 to 1: SplitMix64's mixing
/// of both, its upper 24 bits.
fn number(seed: u64, i: u64) -> f32 {
    let mut z = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(i.wrapping_mul(0xbf58_476d_1ce4_e5b9));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 40) as f32 / 8_388_608.0 - 1.0
}

fn scaled(seed: u64, shape: Shape, scale: f32) -> Tensor {
    let n = shape.dims().iter().product::<usize>();
    let mut out = Tensor::zeros(shape);
    out.update_in_place(|out| {
        debug_assert_eq!(out.len(), n);
        for (i, x) in out.iter_mut().enumerate() {
            *x = number(seed, i as u64) * scale;
        }
    });
    out
}

/// Uniform numbers of mean 0 and variance 1.
pub fn numbers(seed: u64, shape: impl Into<Shape>) -> Tensor {
    scaled(seed, shape.into(), 1.732_050_8)
}

/// The classes of `n` samples, one after another.
pub fn classes(n: usize, of: usize) -> Indices {
    (0..n).map(|i| i % of).collect::<Vec<_>>().into()
}

/// Weights by their sorted names: matrices and kernels uniform with variance 1
/// over their inputs, biases within 0.1 of 0, factors of normalisation within
/// 0.1 of 1.
///
/// # Errors
/// None that a valid module can cause.
pub fn set_weights(seed: u64, model: &mut impl Module) -> Result<()> {
    let mut names: Vec<String> = model.params().into_iter().map(|(name, _)| name).collect();
    names.sort();
    model.for_each_param(|name, param| {
        let at = names.iter().position(|n| n == name).unwrap_or_default();
        set_weight(seed + at as u64, name, param)
    })
}

/// One weight of [`set_weights`], by its own seed.
///
/// # Errors
/// None that a valid parameter can cause.
pub fn set_weight(seed: u64, name: &str, param: &mut Param) -> Result<()> {
    let shape = *param.tensor().shape();
    let data = match param.dims() {
        [out, _, ..] => {
            let inputs = param.numel() / out;
            scaled(seed, shape, (3.0 / inputs as f64).sqrt() as f32)
        }
        _ if name.ends_with("bias") => scaled(seed, shape, 0.1),
        _ => scaled(seed, shape, 0.1).add_scalar(1.0),
    };
    Ok(param.set_data(&data)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same numbers are in `peers/twins/common.py`'s own test.
    #[test]
    fn the_stream_is_the_one_that_the_twins_have() {
        let x = numbers(3, [3]).to_vec();
        assert_eq!(x, [number(3, 0), number(3, 1), number(3, 2)].map(|x| x * 1.732_050_8));
        let many = numbers(1, [10_000]);
        assert!(many.mean_all().to_vec()[0].abs() < 0.03);
        assert!((many.square().mean_all().to_vec()[0] - 1.0).abs() < 0.03);
    }
}
