//! Kernels give the same bits for any number of threads, value and gradients,
//! over shapes that are large enough to be spread.
#![cfg(feature = "rayon")]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_tensor::{Activation, Attention, Conv, CrossEntropy, GradOptions, Result, Tensor, vjp};

/// The bits of a function of random tensors and of its gradients.
fn bits(dims: &[&[usize]], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Vec<u32> {
    let rng = &mut ChaCha8Rng::seed_from_u64(7);
    let inputs: Vec<Tensor> = dims
        .iter()
        .map(|dims| Tensor::randn(tl_tensor::Shape::new(dims).unwrap(), rng).requires_grad())
        .collect();
    let y = f(&inputs).unwrap();
    let seed = Tensor::randn(*y.shape(), rng);
    let leaves: Vec<&Tensor> = inputs.iter().collect();
    let gradients = vjp(&y, &leaves, &seed, GradOptions::new()).unwrap();
    let all = [y].into_iter().chain(gradients);
    all.flat_map(|t| t.to_vec()).map(f32::to_bits).collect()
}

fn check(what: &str, dims: &[&[usize]], f: impl Fn(&[Tensor]) -> Result<Tensor> + Sync) {
    let run = || bits(dims, &f);
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    let alone = pool(1).install(run);
    for threads in [2, 4] {
        assert!(pool(threads).install(run) == alone, "{what}: {threads} threads");
    }
}

#[test]
fn convolutions() {
    let shapes: [(usize, usize, usize, usize, usize, usize); 7] = [
        // images, channels, filters, size, kernel, stride
        (2, 64, 64, 30, 3, 1),
        (40, 32, 32, 7, 3, 1),
        (2, 256, 256, 14, 3, 1),
        (9, 8, 16, 21, 5, 2),
        (8, 16, 16, 16, 1, 1),
        (4, 3, 16, 40, 7, 2),
        (1, 16, 8, 20, 4, 3),
    ];
    for (n, c, k, size, kernel, stride) in shapes {
        let conv = Conv::new().padding(kernel / 2).stride(stride);
        let dims: [&[usize]; 3] = [&[n, c, size, size], &[k, c, kernel, kernel], &[k]];
        check("conv2d", &dims, |t| conv.conv2d(&t[0], &t[1], Some(&t[2])));
    }
    let depthwise = Conv::new().padding(1).groups(64);
    check("depth-wise", &[&[8, 64, 28, 28], &[64, 1, 3, 3]], |t| {
        depthwise.conv2d(&t[0], &t[1], None)
    });
}

#[test]
fn layers_of_a_transformer() {
    check("layer_norm", &[&[512, 384], &[384], &[384]], |t| {
        t[0].layer_norm(&[384], Some(&t[1]), Some(&t[2]), 1e-5)
    });
    check("attention", &[&[8, 64, 3 * 128]], |t| Attention::new().forward_packed(&t[0], 4));
    for activation in [Activation::Identity, Activation::Relu, Activation::Gelu] {
        check("linear", &[&[512, 128], &[512, 128], &[512]], |t| {
            t[0].linear_act(&t[1], Some(&t[2]), activation)
        });
    }
    check("cross_entropy", &[&[600, 500]], |t| {
        let classes = (0..600).map(|i| i % 500).collect::<Vec<_>>();
        CrossEntropy::new().label_smoothing(0.1).loss(&t[0], &classes.into())
    });
    check("broadcast", &[&[600, 500], &[600, 1], &[500]], |t| t[0].mul(&t[1])?.add(&t[2]));
    check("batch_norm", &[&[16, 32, 30, 30], &[32], &[32]], |t| {
        Ok(t[0].batch_norm(Some(&t[1]), Some(&t[2]), 1e-5)?.output)
    });
}

#[test]
fn a_weight_that_learns_and_one_that_does_not_give_the_same_bits() {
    let rng = &mut ChaCha8Rng::seed_from_u64(3);
    for [m, k, n] in [[20, 130, 300], [200, 130, 300], [600, 384, 130], [50, 30, 10]] {
        let (x, w) = (Tensor::<f32>::randn([m, k], rng), Tensor::randn([n, k], rng));
        let bias = Tensor::randn(n, rng);
        for act in [Activation::Identity, Activation::Relu, Activation::Gelu] {
            let run = |w: &Tensor| x.linear_act(w, Some(&bias), act).unwrap().to_vec();
            let learning = run(&w.clone().requires_grad());
            // The second use finds what the first has kept.
            for _ in 0..2 {
                assert_eq!(run(&w), learning, "{m} {k} {n} {act:?}");
            }
        }
    }
}
