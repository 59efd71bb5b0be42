//! Batches of thousands in the memory of hundreds, counted.
#![allow(unsafe_code)]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};
use tl_nn::{Act, Ctx, Forward, Gradients, Linear, ModuleExt, Sequential, Tensor};
use tl_ssl::{gradient_cache, nt_xent};

/// Counts the bytes that are in use, and the most that ever were.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator with what it was given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), SeqCst) + layout.size();
        MOST.fetch_max(now, SeqCst);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), SeqCst);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The most bytes that `work` had in use at once. Buffers that wait to be used
/// again count as well, so the smaller work has to come first.
fn most<T>(work: impl FnOnce() -> T) -> (T, usize) {
    MOST.store(NOW.load(SeqCst), SeqCst);
    let result = work();
    (result, MOST.load(SeqCst))
}

/// Two views of `n` samples by an encoder with much in between, in chunks.
fn step(net: &Sequential, views: &[Tensor; 2], n: usize, chunk: usize) -> (f32, Gradients) {
    let parts = |view: &Tensor| -> Vec<Tensor> {
        (0..n).step_by(chunk).map(|i| view.narrow(0, i, chunk).unwrap()).collect()
    };
    let chunks = [parts(&views[0]), parts(&views[1])].concat();
    let loss = |z: &[Tensor]| {
        let whole = |z: &[Tensor]| Tensor::cat(&z.iter().collect::<Vec<_>>(), 0);
        nt_xent(&whole(&z[..z.len() / 2])?, &whole(&z[z.len() / 2..])?, 0.2)
    };
    let embed = |net: &Sequential, x: &Tensor, cx: &mut Ctx| net.forward(x, cx);
    let (loss, gradients) = gradient_cache(net, &chunks, &mut Ctx::train(0), embed, loss).unwrap();
    (loss.item().unwrap(), gradients)
}

/// 4,096 samples, two views of each: the whole batch would keep 8,192 rows of
/// every layer, and 8,192² pairs; a chunk keeps 256 rows, a block 512 x 8,192.
#[test]
fn a_batch_of_4096_in_the_memory_of_256() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut net = Sequential::new();
    for (from, to) in [(16, 256), (256, 256), (256, 256), (256, 256), (256, 256), (256, 8)] {
        net = net.push(Linear::new(from, to, &mut rng)).push(Act::Tanh);
    }
    let n = 4096;
    let views = [Tensor::randn([n, 16], &mut rng), Tensor::randn([n, 16], &mut rng)];
    let before = NOW.load(SeqCst);
    let ((loss, gradients), cached) = most(|| step(&net, &views, n, 256));
    let whole = || {
        let z = |x: &Tensor| net.forward(x, &mut Ctx::train(0)).unwrap();
        let loss = nt_xent(&z(&views[0]), &z(&views[1]), 0.2).unwrap();
        (loss.item().unwrap(), loss.backward().unwrap())
    };
    let ((want, want_gradients), at_once) = most(whole);

    approx::assert_relative_eq!(loss, want, max_relative = 1e-5);
    for weight in net.trainable() {
        let norm = |x: &Tensor| x.square().sum_all().item().unwrap().sqrt();
        let (got, want) = (gradients.get(weight).unwrap(), want_gradients.get(weight).unwrap());
        let apart = norm(&got.sub(want).unwrap());
        assert!(apart < 1e-3 * norm(want).max(1e-6), "{apart} of {}", norm(want));
    }
    // Eleven layers of 256 numbers for 8,192 rows; beside them the pairs are small.
    let (cached, at_once) = ((cached - before) >> 20, (at_once - before) >> 20);
    assert!(at_once > 80, "{at_once} MiB");
    assert!(2 * cached < at_once, "{cached} MiB in chunks, {at_once} MiB at once");
    // A block of pairs and its softmax, the transposed one, and some for the layers.
    assert!(cached < 70, "{cached} MiB");
}
