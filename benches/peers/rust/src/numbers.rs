//! Numbers that every side computes alike: see `src/fill.rs` of the main crate.

use std::collections::HashMap;

fn number(seed: u64, i: u64) -> f32 {
    let mut z = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(i.wrapping_mul(0xbf58_476d_1ce4_e5b9));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 40) as f32 / 8_388_608.0 - 1.0
}

fn scaled(seed: u64, count: usize, scale: f32) -> Vec<f32> {
    (0..count as u64).map(|i| number(seed, i) * scale).collect()
}

/// Uniform numbers of mean 0 and variance 1.
pub fn numbers(seed: u64, shape: &[usize]) -> Vec<f32> {
    scaled(seed, shape.iter().product(), 1.732_050_8)
}

pub fn weight(seed: u64, name: &str, shape: &[usize]) -> Vec<f32> {
    let count: usize = shape.iter().product();
    if shape.len() >= 2 {
        let inputs = count / shape[0];
        return scaled(seed, count, (3.0 / inputs as f64).sqrt() as f32);
    }
    let shift = if name.ends_with("bias") { 0.0 } else { 1.0 };
    scaled(seed, count, 0.1).into_iter().map(|x| x + shift).collect()
}

/// The weights of a network by name.
pub struct Weights(HashMap<String, (Vec<f32>, Vec<usize>)>);

impl Weights {
    /// Of these names and shapes; seeds go by the sorted names.
    pub fn new(seed: u64, mut shapes: Vec<(String, Vec<usize>)>) -> Self {
        shapes.sort();
        let of = |(at, (name, shape)): (usize, (String, Vec<usize>))| {
            let data = weight(seed + at as u64, &name, &shape);
            (name, (data, shape))
        };
        Self(shapes.into_iter().enumerate().map(of).collect())
    }

    pub fn get(&self, name: &str) -> (Vec<f32>, Vec<usize>) {
        self.0[name].clone()
    }
}

fn layer(name: &str, weight: &[usize]) -> [(String, Vec<usize>); 2] {
    [(format!("{name}.weight"), weight.to_vec()), (format!("{name}.bias"), vec![weight[0]])]
}

pub fn mlp() -> Weights {
    let layers = [("0", [256, 784]), ("2", [128, 256]), ("4", [10, 128])];
    Weights::new(10, layers.iter().flat_map(|(n, w)| layer(n, w)).collect())
}

pub fn lenet() -> Weights {
    let mut all = layer("0", &[32, 1, 5, 5]).to_vec();
    all.extend(layer("3", &[48, 32, 5, 5]));
    all.extend(layer("7", &[100, 768]));
    all.extend(layer("9", &[10, 100]));
    Weights::new(10, all)
}

pub fn transformer() -> Weights {
    let mut all = Vec::new();
    for i in 0..6 {
        let name = |part: &str| format!("layers.{i}.{part}");
        all.push((name("self_attn.in_proj_weight"), vec![1152, 384]));
        all.push((name("self_attn.in_proj_bias"), vec![1152]));
        all.extend(layer(&name("self_attn.out_proj"), &[384, 384]));
        all.extend(layer(&name("linear1"), &[1536, 384]));
        all.extend(layer(&name("linear2"), &[384, 1536]));
        all.extend(layer(&name("norm1"), &[384]));
        all.extend(layer(&name("norm2"), &[384]));
    }
    Weights::new(10, all)
}

/// Batch, inputs, outputs, size, kernel, stride, groups.
pub fn conv_layer(name: &str) -> Option<[usize; 7]> {
    Some(match name {
        "conv3_64_56" => [8, 64, 64, 56, 3, 1, 1],
        "conv3_128_28" => [8, 128, 128, 28, 3, 1, 1],
        "conv3_256_14" => [8, 256, 256, 14, 3, 1, 1],
        "conv3_512_7" => [8, 512, 512, 7, 3, 1, 1],
        "conv3_64_14" => [80, 64, 64, 14, 3, 1, 1],
        "conv3_64_7" => [80, 64, 64, 7, 3, 1, 1],
        "depthwise3_128_28" => [8, 128, 128, 28, 3, 1, 128],
        "conv1_64_256_56" => [8, 64, 256, 56, 1, 1, 1],
        "conv5_s2_64_56" => [8, 64, 128, 56, 5, 2, 1],
        _ => return None,
    })
}
