//! The registry of all differentiable operations: each is checked, in `f64`,
//! for its first and second derivatives against finite differences, over
//! random shapes and over inputs that do not lie in row-major order. A public
//! operation that is neither here nor in the list of those without a
//! derivative fails [`nothing_is_missing`].
#![allow(unreachable_pub)]

mod elementwise;
mod generator;
mod linalg;
mod networks;
mod rearrange;
mod reductions;
mod sources;

use generator::{Case, Generator};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use std::collections::BTreeSet;
use tl_tensor::{GradCheck, gradcheck, gradgradcheck};

/// An operation and how to make a random use of it.
type Entry = (&'static str, fn(&mut Generator) -> Case);

fn registry() -> Vec<Entry> {
    [elementwise::OPS, reductions::OPS, rearrange::OPS, linalg::OPS, networks::OPS].concat()
}

fn check_all(ops: &[Entry]) {
    for (name, make) in ops {
        // The same cases every time.
        let mut runner = TestRunner::new_with_rng(
            Config { cases: 32, failure_persistence: None, ..Config::default() },
            proptest::test_runner::TestRng::deterministic_rng(
                proptest::test_runner::RngAlgorithm::ChaCha,
            ),
        );
        let dims = prop::collection::vec(1usize..4, 1..4);
        let result = runner.run(&(any::<u64>(), dims), |(seed, dims)| {
            let mut generator = Generator::new(seed, dims);
            let Case { inputs, f } = make(&mut generator);
            let inputs: Vec<_> = inputs.into_iter().map(|x| generator.scrambled(x)).collect();
            let check = GradCheck::default();
            gradcheck(&f, &inputs, check)
                .map_err(|e| TestCaseError::fail(format!("first: {e}")))?;
            gradgradcheck(&f, &inputs, check)
                .map_err(|e| TestCaseError::fail(format!("second: {e}")))?;
            Ok(())
        });
        if let Err(error) = result {
            panic!("{name}: {error}");
        }
    }
}

#[test]
fn elementwise_operations() {
    check_all(elementwise::OPS);
}

#[test]
fn reductions_and_scans() {
    check_all(reductions::OPS);
}

#[test]
fn shapes_and_indices() {
    check_all(rearrange::OPS);
}

#[test]
fn linear_algebra() {
    check_all(linalg::OPS);
}

#[test]
fn convolutions_and_fused_operations() {
    check_all(networks::OPS);
}

#[test]
fn nothing_is_missing() {
    let here: BTreeSet<&str> = registry().iter().map(|(name, _)| *name).collect();
    let without: BTreeSet<&str> = sources::WITHOUT_DERIVATIVE.iter().copied().collect();
    let public = sources::public_operations();
    let both: Vec<_> = here.intersection(&without).collect();
    assert!(both.is_empty(), "registered and declared to have no derivative: {both:?}");
    let missing: Vec<_> = public
        .iter()
        .filter(|name| !here.contains(name.as_str()) && !without.contains(name.as_str()))
        .collect();
    assert!(missing.is_empty(), "add these to the registry: {missing:?}");
    let gone: Vec<_> = here.union(&without).filter(|name| !public.contains(**name)).collect();
    assert!(gone.is_empty(), "these exist no more: {gone:?}");
}
