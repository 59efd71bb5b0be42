//! A step asks the allocator no oftener than it did: a guard against slower
//! graphs that does not look at the clock. Who makes a step need less, lowers
//! the number here.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};
use tl_bench::{Outcome, all};

/// Counts calls.
struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: it passes everything on to the system's allocator.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.realloc(ptr, layout, size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the system's.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of a step on one thread, once the pool of buffers is full. Each strip of a
/// product that may be spread over threads has one, for what it packs; without AVX-512 the
/// perceptron's products need a few more. The sinusoids are two graphs, one for each group
/// of tasks.
fn known() -> [(&'static str, usize); 3] {
    #[cfg(target_arch = "x86_64")]
    let wide = is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    let wide = false;
    [("chain1000", 3044), ("mlp_step", if wide { 155 } else { 163 }), ("maml_sinusoid_1", 1498)]
}

/// How many more are not yet a failure.
const TOLERANCE: f64 = 1.05;

/// Steps before and while counting.
const STEPS: usize = 20;

fn count(name: &str) -> Outcome<usize> {
    let workload = all().into_iter().find(|w| w.name == name).ok_or("no such workload")?;
    let mut run = (workload.setup)()?;
    for _ in 0..STEPS {
        run()?;
    }
    let before = CALLS.load(Ordering::Relaxed);
    for _ in 0..STEPS {
        run()?;
    }
    Ok((CALLS.load(Ordering::Relaxed) - before) / STEPS)
}

#[test]
fn steps_allocate_no_more_than_they_did() -> Outcome {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let mut more = Vec::new();
    for (name, known) in known() {
        let now = pool.install(|| count(name))?;
        if now as f64 > known as f64 * TOLERANCE {
            more.push(format!("{name}: {now} allocations a step, {known} before"));
        }
    }
    assert!(more.is_empty(), "{}", more.join("; "));
    Ok(())
}
