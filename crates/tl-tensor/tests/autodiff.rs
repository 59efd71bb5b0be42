//! What holds for differentiation as a whole.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tl_tensor::{
    Conv, GradOptions, Pool, Result, Tensor, checkpoint, grad, gradcheck, gradgradcheck, hvp,
    jacobian, jvp, vjp,
};

type T = Tensor<f64>;

fn graph() -> GradOptions {
    GradOptions::new().create_graph(true)
}

/// The sum of the gradient: a function whose own derivatives are one order up.
fn slope(f: impl Fn(&T) -> Result<T>, x: &T) -> Result<T> {
    Ok(grad(&f(x)?.sum_all(), &[x], graph())?.remove(0).sum_all())
}

#[test]
fn third_derivatives() {
    let rng = &mut ChaCha8Rng::seed_from_u64(1);
    let x = T::uniform([2, 3], 0.5, 1.5, rng);
    let w = T::randn([3, 3], rng);
    type Case<'a> = (&'a str, Box<dyn Fn(&T) -> Result<T> + 'a>);
    let cases: Vec<Case<'_>> = vec![
        ("exp", Box::new(|x| Ok(x.exp()))),
        ("log", Box::new(|x| Ok(x.log()))),
        ("tanh", Box::new(|x| Ok(x.tanh()))),
        ("gelu", Box::new(|x| Ok(x.gelu()))),
        ("div", Box::new(|x| x.sin().div(x))),
        ("matmul", Box::new(|x| x.matmul(&w)?.sigmoid().matmul(&w)?.square().mul(x))),
        ("softmax", Box::new(|x| x.softmax(1)?.square().mul(x))),
        ("layer_norm", Box::new(|x| x.layer_norm(&[3], None, None, 0.1)?.exp().mul(x))),
        ("norm", Box::new(|x| x.norm(1, true)?.mul(x))),
        ("inverse", Box::new(|x| x.t()?.matmul(x)?.add(&T::eye(3))?.inverse())),
    ];
    for (name, f) in cases {
        // gradgradcheck of the slope looks at the third derivative.
        let f = |v: &[T]| {
            let x = if v[0].is_tracked() { v[0].clone() } else { v[0].requires_grad() };
            slope(&f, &x)
        };
        let inputs = [x.clone()];
        gradcheck(f, &inputs, Default::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        gradgradcheck(f, &inputs, Default::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    // d⁵/dx⁵ x⁵ = 120.
    let x = T::scalar(1.7).requires_grad();
    let mut y = x.powf(5.0);
    for _ in 0..5 {
        y = grad(&y, &[&x], graph()).unwrap().remove(0);
    }
    assert!((y.item().unwrap() - 120.0).abs() < 1e-9);
}

#[test]
fn a_long_chain_fits_a_small_stack() {
    let run = || {
        let x = Tensor::scalar(1.0_f32).requires_grad();
        let mut y = x.alias();
        for _ in 0..100_000 {
            y = y.add_scalar(0.5);
        }
        let first = grad(&y, &[&x], GradOptions::new()).unwrap().remove(0);
        assert_eq!(first.item().unwrap(), 1.0);
        // With its own graph, and dropped while it is alive elsewhere.
        let tracked = grad(&y.square(), &[&x], graph()).unwrap().remove(0);
        drop(y);
        assert!(tracked.item().unwrap() > 1e5);
    };
    let small = std::thread::Builder::new().stack_size(256 * 1024);
    small.spawn(run).unwrap().join().unwrap();
}

#[test]
fn sixteen_threads_on_shared_parameters_lose_nothing() {
    let rng = &mut ChaCha8Rng::seed_from_u64(2);
    let w = Tensor::<f32>::randn([24, 24], rng).requires_grad();
    let shared = w.matmul(&w).unwrap().tanh();
    let x = Tensor::<f32>::randn([8, 24], rng);
    let gradient = |i: usize| {
        let loss = x.matmul(&shared).unwrap().matmul(&w).unwrap().square().sum_all();
        let loss = loss.mul_scalar(1.0 + (i % 4) as f32);
        grad(&loss, &[&w], GradOptions::new()).unwrap().remove(0).to_vec()
    };
    let alone: Vec<Vec<f32>> = (0..4).map(gradient).collect();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..16)
            .map(|i| scope.spawn(move || (0..20).map(|_| gradient(i)).collect::<Vec<_>>()))
            .collect();
        for (i, thread) in all.into_iter().enumerate() {
            for found in thread.join().unwrap() {
                assert_eq!(found, alone[i % 4]);
            }
        }
    });
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let run = || -> Vec<u32> {
        let rng = &mut ChaCha8Rng::seed_from_u64(3);
        let mut bits = Vec::new();
        let mut all = |loss: Tensor, inputs: &[&Tensor]| {
            bits.push(loss.item().unwrap().to_bits());
            for g in grad(&loss, inputs, GradOptions::new()).unwrap() {
                bits.extend(g.to_vec().into_iter().map(f32::to_bits));
            }
        };
        let a = Tensor::randn([300, 200], rng).requires_grad();
        let b = Tensor::randn([200, 310], rng).requires_grad();
        all(a.matmul(&b).unwrap().tanh().sum_all(), &[&a, &b]);
        let x = Tensor::randn([6, 16, 24, 24], rng).requires_grad();
        let w = Tensor::randn([32, 16, 3, 3], rng).requires_grad();
        let y = Conv::new().padding(1).conv2d(&x, &w, None).unwrap();
        let y = y.batch_norm(None, None, 1e-5).unwrap().output.max_pool2d(Pool::new(2)).unwrap();
        all(y.square().mean_all(), &[&x, &w]);
        let z = Tensor::randn([700, 400], rng).requires_grad();
        all(z.softmax(1).unwrap().square().sum_all(), &[&z]);
        all(z.layer_norm(&[400], None, None, 1e-5).unwrap().exp().mean_all(), &[&z]);
        all(z.sum(0, false).unwrap().square().sum_all(), &[&z]);
        all(z.var([0, 1], true, false).unwrap(), &[&z]);
        all(z.logsumexp(0, false).unwrap().sum_all(), &[&z]);
        bits
    };
    let alone = run();
    #[cfg(feature = "rayon")]
    for threads in [1, 2, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(pool.install(run) == alone, "{threads} threads");
    }
    assert!(run() == alone);
}

#[test]
fn an_update_is_seen_by_nobody_who_had_the_numbers_before() {
    let double = |old: Option<&[f64]>, new: &mut [f64]| {
        if let Some(old) = old {
            new.copy_from_slice(old);
        }
        new.iter_mut().for_each(|x| *x *= 2.0);
    };
    // Small tensors lie within their storage, larger ones on the heap.
    for n in [3, 40] {
        let mut x = Tensor::<f64>::arange(0.0, n as f64, 1.0).unwrap();
        x.update_from(|old, new| {
            assert!(old.is_none());
            double(old, new);
        });
        let (clone, turned) = (x.clone(), x.reshape([1, n]).unwrap().t().unwrap());
        let mut view = turned.clone();
        for shared in [&mut x, &mut view] {
            shared.update_from(|old, new| {
                assert!(old.is_some());
                double(old, new);
            });
        }
        for i in 0..n {
            assert_eq!(x.to_vec()[i], 4.0 * i as f64);
            assert_eq!(view.to_vec()[i], 4.0 * i as f64);
            assert_eq!(clone.to_vec()[i], 2.0 * i as f64);
        }
        assert_eq!(view.dims(), [n, 1]);
    }
}

#[test]
fn reversal_and_stops() {
    let x = T::scalar(3.0).requires_grad();
    let back = x.square().gradient_reversal(0.5).backward().unwrap();
    assert_eq!(back.get(&x).unwrap().item().unwrap(), -3.0);
    // Twice reversed is scaled by the square.
    let twice = x.gradient_reversal(0.5).gradient_reversal(0.5).backward().unwrap();
    assert_eq!(twice.get(&x).unwrap().item().unwrap(), 0.25);
    let stopped = x.detach().mul(&x).unwrap().backward().unwrap();
    assert_eq!(stopped.get(&x).unwrap().item().unwrap(), 3.0);
}

#[test]
fn products_with_jacobian_and_hessian() {
    let rng = &mut ChaCha8Rng::seed_from_u64(4);
    let w = T::randn([3, 4], rng);
    let f = |x: &T| Ok(w.matmul(x)?.tanh());
    let (x, v) = (T::randn(4, rng), T::randn(4, rng));
    let j = jacobian(f, &x).unwrap();
    let close = |a: &T, b: &T| {
        for (a, b) in a.to_vec().into_iter().zip(b.to_vec()) {
            assert!((a - b).abs() < 1e-10, "{a} {b}");
        }
    };
    close(&jvp(f, &x, &v).unwrap().1, &j.matmul(&v).unwrap());
    let leaf = x.requires_grad();
    let u = T::randn(3, rng);
    let pulled = vjp(&f(&leaf).unwrap(), &[&leaf], &u, GradOptions::new()).unwrap().remove(0);
    close(&pulled, &u.matmul(&j).unwrap());
    let energy = |x: &T| Ok(w.matmul(x)?.tanh().square().sum_all());
    let gradient = |x: &T| -> Result<T> {
        let x = x.requires_grad();
        Ok(grad(&energy(&x)?, &[&x], graph())?.remove(0))
    };
    let step = 1e-6;
    let ahead = gradient(&x.add(&v.mul_scalar(step)).unwrap()).unwrap();
    let behind = gradient(&x.sub(&v.mul_scalar(step)).unwrap()).unwrap();
    let slope = ahead.sub(&behind).unwrap().mul_scalar(0.5 / step);
    let exact = hvp(energy, &x, &v).unwrap();
    for (a, b) in exact.to_vec().into_iter().zip(slope.to_vec()) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}

#[test]
fn a_checkpointed_segment_has_the_same_gradients() {
    let rng = &mut ChaCha8Rng::seed_from_u64(5);
    let (x, w) = (T::randn([4, 4], rng).requires_grad(), T::randn([4, 4], rng).requires_grad());
    let segment = |v: &[T]| v[0].matmul(&v[1])?.tanh().matmul(&v[1]);
    let plain = segment(&[x.clone(), w.clone()]).unwrap().square().sum_all();
    let again = checkpoint(&[&x, &w], segment).unwrap().square().sum_all();
    let a = grad(&plain, &[&x, &w], graph()).unwrap();
    let b = grad(&again, &[&x, &w], graph()).unwrap();
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(a.to_vec(), b.to_vec());
    }
    let second = |g: &[T]| {
        let sum = g[0].square().sum_all().add(&g[1].square().sum_all()).unwrap();
        grad(&sum, &[&w], GradOptions::new()).unwrap().remove(0).to_vec()
    };
    for (a, b) in second(&a).into_iter().zip(second(&b)) {
        assert!((a - b).abs() < 1e-9);
    }
}
