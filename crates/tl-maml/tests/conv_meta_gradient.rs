//! The meta-gradient of a network of the kind that MAML is used with, through
//! convolution, batch normalisation and pooling, in double precision.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_maml::{InnerLoop, Order};
use tl_nn::{Conv, Indices, Pool, Shape, Tensor};
use tl_tensor::{CrossEntropy, GradCheck, gradcheck};

fn random(seed: u64, dims: &[usize]) -> Tensor<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Tensor::randn(Shape::new(dims).unwrap(), &mut rng).mul_scalar(0.5)
}

/// Two blocks of convolution, normalisation, a smooth rectifier and pooling, and
/// a head: weights `[w, scale, shift]` of each block, then `[w, b]`.
fn logits(w: &[Tensor<f64>], x: &Tensor<f64>) -> tl_tensor::Result<Tensor<f64>> {
    let mut h = x.clone();
    for block in w[..6].chunks(3) {
        h = Conv::new().padding(1).conv2d(&h, &block[0], None)?;
        h = h.batch_norm(Some(&block[1]), Some(&block[2]), 1e-5)?.output;
        h = h.softplus().avg_pool2d(Pool::new(2))?;
    }
    h.flatten(1, -1)?.linear(&w[6], Some(&w[7]))
}

#[test]
fn conv_with_batch_normalisation_through_two_steps() {
    let weights = [
        random(1, &[2, 1, 3, 3]),
        random(2, &[2]).add_scalar(1.0),
        random(3, &[2]),
        random(4, &[2, 2, 3, 3]),
        random(5, &[2]).add_scalar(1.0),
        random(6, &[2]),
        random(7, &[3, 2]),
        random(8, &[3]),
    ];
    let (support, query) = (random(10, &[3, 1, 4, 4]), random(11, &[6, 1, 4, 4]));
    let (ys, yq) = (Indices::from(vec![0, 1, 2]), Indices::from(vec![2, 1, 0, 0, 1, 2]));
    let loss = |w: &[Tensor<f64>], x: &Tensor<f64>, y: &Indices| {
        CrossEntropy::new().loss(&logits(w, x)?, y)
    };
    let rates = [vec![Tensor::scalar(0.2); 8]];
    let inner = InnerLoop { steps: 2, order: Order::Second, rates: &rates, curvature: &[] };
    gradcheck(
        |w| {
            let start =
                w.iter().map(|w| if w.is_tracked() { w.clone() } else { w.requires_grad() });
            let fast = inner.run(start.collect(), |_, w| Ok(loss(w, &support, &ys)?)).unwrap();
            loss(&fast, &query, &yq)
        },
        &weights,
        GradCheck { relative: 1e-5, ..GradCheck::default() },
    )
    .unwrap();
}
