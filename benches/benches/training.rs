//! The workloads of the comparison, on their own.
#![allow(missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};

fn workloads(c: &mut Criterion) {
    let mut group = c.benchmark_group("workloads");
    group.sample_size(10);
    for workload in tl_bench::all() {
        let mut run = match (workload.setup)() {
            Ok(run) => run,
            Err(error) => panic!("{}: {error}", workload.name),
        };
        group.bench_function(workload.name, |b| {
            b.iter(|| run().unwrap_or_else(|error| panic!("{}: {error}", workload.name)));
        });
    }
}

criterion_group!(training, workloads);
criterion_main!(training);
