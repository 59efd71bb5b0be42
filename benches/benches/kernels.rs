//! Single operations.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::hint::black_box;
use tl_tensor::{Conv, Pool, Tensor};

fn matmul(c: &mut Criterion) {
    let mut group = c.benchmark_group("matmul");
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    for [m, k, n] in [[10, 40, 40], [64, 784, 256], [1024, 384, 1536]] {
        let (a, b) = (Tensor::<f32>::randn([m, k], rng), Tensor::randn([k, n], rng));
        let id = BenchmarkId::from_parameter(format!("{m}x{k}x{n}"));
        group.bench_function(id, |bench| bench.iter(|| black_box(a.matmul(&b))));
    }
}

fn images(c: &mut Criterion) {
    let mut group = c.benchmark_group("images");
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let (x, w) = (Tensor::<f32>::randn([16, 64, 28, 28], rng), Tensor::randn([64, 64, 3, 3], rng));
    let conv = Conv::new().padding(1);
    group.bench_function("conv2d", |b| b.iter(|| black_box(conv.conv2d(&x, &w, None))));
    group.bench_function("max_pool2d", |b| b.iter(|| black_box(x.max_pool2d(Pool::new(2)))));
    group.bench_function("batch_norm", |b| b.iter(|| black_box(x.batch_norm(None, None, 1e-5))));
    group.bench_function("relu", |b| b.iter(|| black_box(x.relu())));
}

fn rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("rows");
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let x = Tensor::<f32>::randn([1024, 384], rng);
    group.bench_function("softmax", |b| b.iter(|| black_box(x.softmax(1))));
    group.bench_function("layer_norm", |b| {
        b.iter(|| black_box(x.layer_norm(&[384], None, None, 1e-5)));
    });
    group.bench_function("gelu", |b| b.iter(|| black_box(x.gelu())));
    group.bench_function("sum", |b| b.iter(|| black_box(x.sum(0, false))));
    group.bench_function("transpose_copy", |b| b.iter(|| black_box(x.t().map(|t| t.contiguous()))));
}

criterion_group!(kernels, matmul, images, rows);
criterion_main!(kernels);
