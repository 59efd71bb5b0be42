//! What the tests share.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_dann::Classifier;
use tl_data::Dataset;
use tl_nn::{Act, BatchNorm1d, Ctx, Forward, Linear, Sequential, Tensor, metric::accuracy};

pub(crate) fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// Classes around the corners of a simplex in four dimensions, this many samples
/// of each, everything moved by `shift` along the diagonal.
pub(crate) fn blobs(seed: u64, counts: &[usize], shift: f32) -> Dataset {
    let n: usize = counts.iter().sum();
    let labels: Vec<usize> =
        counts.iter().enumerate().flat_map(|(c, &k)| std::iter::repeat_n(c, k)).collect();
    let noise = Tensor::<f32>::randn([n, 4], &mut rng(seed)).to_vec();
    let at = |i: usize, d: usize| {
        let corner = if labels[i] == d { 3.0 } else { 0.0 };
        corner + 0.6 * noise[4 * i + d] + shift * [1.0, -0.6, 0.8, -0.4][d]
    };
    let x = (0..n).flat_map(|i| (0..4).map(move |d| (i, d))).map(|(i, d)| at(i, d)).collect();
    let names = (0..counts.len()).map(|c| c.to_string());
    Dataset::classification(Tensor::from_vec(x, [n, 4]).unwrap(), labels, names).unwrap()
}

/// A small classifier without normalisation.
pub(crate) fn model(outputs: usize) -> Classifier<Sequential> {
    let mut rng = rng(7);
    let encoder = Sequential::new()
        .push(Linear::new(4, 16, &mut rng))
        .push(Act::Relu)
        .push(Linear::new(16, 8, &mut rng));
    Classifier { encoder, head: Linear::new(8, outputs, &mut rng) }
}

/// A small classifier with batch normalisation.
pub(crate) fn normalised(outputs: usize) -> Classifier<Sequential> {
    let mut rng = rng(7);
    let encoder = Sequential::new()
        .push(Linear::new(4, 16, &mut rng))
        .push(BatchNorm1d::new(16))
        .push(Act::Relu);
    Classifier { encoder, head: Linear::new(16, outputs, &mut rng) }
}

pub(crate) fn right<M: Forward>(model: &M, data: &Dataset) -> f64 {
    let logits = model.forward(data.features(), &mut Ctx::eval()).unwrap();
    accuracy(&logits, &data.labels().unwrap().into()).unwrap()
}
