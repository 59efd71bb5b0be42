//! Inference in 8-bit integers, and training for it.
//!
//! Weights are symmetric with a scale for each output channel; activations are
//! unsigned bytes with a scale and a zero point for each tensor (Jacob et al.
//! 2018; Krishnamoorthi 2018, sections 2.2 and 3.1.2). Sums are exact in 32
//! bits.

mod fold;
mod kernel;
mod level;
mod linear;
mod network;
mod plan;
mod qat;
mod stage;

pub use fold::fold_batch_norm;
pub use level::Range;
pub use linear::{Int8Linear, quantise_linear};
pub use network::Int8Network;
pub use qat::QatNetwork;

/// Integers have no NaN: what is none of their numbers is refused, not made one.
fn check_finite(x: &tl_nn::Tensor) -> tl_nn::Result<()> {
    if x.is_finite() {
        return Ok(());
    }
    Err(tl_nn::Error::argument("int8", "input", "NaN or infinite", "finite numbers"))
}

/// Gives chunks of `rows` rows to the threads of the pool, if the work, in
/// multiply-adds, is worth it.
fn share<A: Sync, B: Send>(
    work: usize,
    rows: usize,
    (from, from_row): (&[A], usize),
    (to, to_row): (&mut [B], usize),
    task: impl Fn((&[A], &mut [B])) + Sync + Send,
) {
    #[cfg(feature = "rayon")]
    if work >= 1 << 21 && to.len() > rows * to_row {
        use rayon::prelude::*;
        from.par_chunks(rows * from_row).zip(to.par_chunks_mut(rows * to_row)).for_each(task);
        return;
    }
    let _ = work;
    from.chunks(rows * from_row).zip(to.chunks_mut(rows * to_row)).for_each(task);
}
