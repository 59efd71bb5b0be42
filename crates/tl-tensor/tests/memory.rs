//! Graphs are released: a training step leaves nothing behind.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicIsize, Ordering},
};
use tl_tensor::{GradOptions, Tensor, grad};

/// Counts the bytes and blocks in use.
struct Counting;

static BYTES: AtomicIsize = AtomicIsize::new(0);
static BLOCKS: AtomicIsize = AtomicIsize::new(0);

// SAFETY: it passes everything on to the system's allocator.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size() as isize, Ordering::Relaxed);
        BLOCKS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        BLOCKS.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A step with a gradient of a gradient, through operations that save their
/// own output (exp, softmax, tanh), fused ones and views.
fn step(w: &mut Tensor, x: &Tensor) {
    let h = x.matmul(w).unwrap().tanh().exp().softmax(1).unwrap();
    let h = h.layer_norm(&[8], None, None, 1e-5).unwrap().t().unwrap();
    let loss = h.matmul(x).unwrap().square().mean_all();
    let create = GradOptions::new().create_graph(true);
    let first = grad(&loss, &[w], create).unwrap().remove(0);
    let total = loss.add(&first.square().sum_all()).unwrap();
    let gradient = grad(&total, &[w], GradOptions::new()).unwrap().remove(0);
    let data = w.sub(&gradient.mul_scalar(1e-3)).unwrap();
    *w = w.with_data(&data).unwrap();
}

#[test]
fn ten_thousand_steps_leave_nothing_behind() {
    let rng = &mut ChaCha8Rng::seed_from_u64(1);
    let mut w = Tensor::randn([8, 8], rng).requires_grad();
    let x = Tensor::randn([6, 8], rng);
    let now = || (BYTES.load(Ordering::Relaxed), BLOCKS.load(Ordering::Relaxed));
    // Until the pool of buffers has what it needs.
    for _ in 0..100 {
        step(&mut w, &x);
    }
    let before = now();
    for _ in 0..10_000 {
        step(&mut w, &x);
    }
    let after = now();
    let grown = (after.0 - before.0, after.1 - before.1);
    assert!(grown.0.abs() < 4096 && grown.1.abs() < 32, "{before:?} {after:?}");
}
