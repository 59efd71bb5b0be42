//! Data where the answer is known.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_nn::Tensor;
use tl_zeroshot::{Seen, Signatures, Test};

const BITS: [[u8; 6]; 12] = [
    [1, 0, 0, 1, 0, 1],
    [0, 1, 0, 1, 1, 0],
    [1, 1, 0, 0, 0, 1],
    [0, 0, 1, 1, 0, 0],
    [1, 0, 1, 0, 1, 1],
    [0, 1, 1, 0, 0, 0],
    [1, 1, 1, 1, 1, 0],
    [0, 0, 0, 0, 1, 1],
    [1, 0, 0, 0, 1, 0],
    [0, 1, 0, 0, 0, 1],
    [1, 0, 1, 1, 0, 1],
    [0, 1, 1, 1, 1, 1],
];

/// Samples `x = s A + noise` of 12 classes with 6 bits each, the last 4 unseen, 25
/// a class: to learn from, more of the seen classes, those of the unseen ones.
pub(crate) fn synthetic(noise: f32, seed: u64) -> (Seen, Test, Test) {
    let rng = |part: u64| ChaCha8Rng::seed_from_u64(10 * seed + part);
    let table: Vec<f32> = BITS.iter().flatten().map(|&b| f32::from(b)).collect();
    let names = (0..12).map(|c| format!("class {c}"));
    let all = Signatures::new(names, Tensor::from_vec(table, [12, 6]).unwrap()).unwrap();
    let map = Tensor::<f32>::randn([6, 20], &mut rng(1));
    let sample = |classes: &[usize], part: u64| -> (Tensor, Vec<usize>) {
        let labels: Vec<usize> = (0..classes.len() * 25).map(|i| i % classes.len()).collect();
        let rows: Vec<usize> = labels.iter().map(|&l| classes[l]).collect();
        let clean = all.table().index_select(0, &rows.into()).unwrap().matmul(&map).unwrap();
        let noise = Tensor::randn(*clean.shape(), &mut rng(part)).mul_scalar(noise);
        (clean.add(&noise).unwrap(), labels)
    };
    let (seen, unseen): (Vec<usize>, Vec<usize>) = ((0..8).collect(), (8..12).collect());
    let (x, y) = sample(&seen, 2);
    let train = Seen::new(x, y, all.select(&seen).unwrap()).unwrap();
    let (features, labels) = sample(&seen, 4);
    let seen_test = Test { features, labels, classes: all.clone() };
    let (features, labels) = sample(&unseen, 3);
    (train, seen_test, Test { features, labels, classes: all.select(&unseen).unwrap() })
}
