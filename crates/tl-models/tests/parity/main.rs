//! What the homes of the models compute. The files come from
//! `tools/fixtures/models.py`; weights are computed on both sides from names.

mod homes;
mod pretrained;
mod weights_out;

use serde::Deserialize;
use tl_nn::{StateDict, Tensor, Weight};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// Names and shapes of a home's state dict, and its output.
#[derive(Deserialize)]
struct Home {
    size: usize,
    state: Vec<(String, Vec<usize>)>,
    dims: Vec<usize>,
    out: Vec<f32>,
}

impl Home {
    fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(format!("{FIXTURES}/{name}.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn weights(&self) -> StateDict {
        let mut dict = StateDict::new();
        for (name, dims) in &self.state {
            let count: usize = dims.iter().product();
            let fan = count / dims.first().copied().unwrap_or(1).max(1);
            let value = |u: f64| match name.as_str() {
                _ if dims.len() >= 2 => u * (12.0 / fan as f64).sqrt(),
                n if n.ends_with("running_var") => 1.0 + 0.5 * u,
                n if n.ends_with("weight") => 1.0 + 0.4 * u,
                _ => 0.2 * u,
            };
            let data = noise(name, count).map(|u| value(u) as f32).collect();
            let shape = tl_nn::Shape::new(dims).unwrap();
            dict.insert(name.clone(), Weight::new(&Tensor::from_vec(data, shape).unwrap()));
        }
        dict
    }

    fn check(&self, ours: &Tensor, part: f32) {
        assert_eq!(ours.dims(), self.dims);
        close(&ours.to_vec(), &self.out, part);
    }
}

/// Numbers in -0.5..0.5 from a name and places.
fn noise(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let seed =
        name.bytes().fold(2_166_136_261_u32, |h, b| (h ^ u32::from(b)).wrapping_mul(16_777_619));
    (0..count as u32).map(move |i| {
        let mut h = i.wrapping_mul(2_654_435_761).wrapping_add(seed);
        h ^= h >> 15;
        h = h.wrapping_mul(2_246_822_519);
        h ^= h >> 13;
        f64::from(h) / 2_f64.powi(32) - 0.5
    })
}

fn image(size: usize) -> Tensor {
    let data = noise("input", 6 * size * size).map(|u| (u * 2.0) as f32).collect();
    Tensor::from_vec(data, [2, 3, size, size]).unwrap()
}

/// Equal up to `part` of the largest number.
fn close(ours: &[f32], theirs: &[f32], part: f32) {
    assert_eq!(ours.len(), theirs.len());
    let scale = theirs.iter().fold(0.01_f32, |s, x| s.max(x.abs()));
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= part * scale, "at {i}: {a}, the home has {b}");
    }
}
