//! Loops over numbers. Nothing here knows of derivatives.

pub(crate) mod conv;
pub(crate) mod copy;
mod depthwise;
mod direct;
mod disjoint;
pub(crate) mod functions;
pub(crate) mod gemm;
pub(crate) mod im2col;
pub(crate) mod lanes;
pub(crate) mod map;
pub(crate) mod parallel;
mod phases;
pub(crate) mod philox;
pub(crate) mod reduce;
mod square;
mod strided;
mod tile;
pub(crate) mod walk;
mod whole;
mod winograd;

/// Runs a check with each instruction set that this machine has.
#[cfg(test)]
fn on_every_instruction_set(check: impl pulp::WithSimd<Output = ()> + Copy) {
    check.with_simd(pulp::Scalar::new());
    #[cfg(target_arch = "x86_64")]
    {
        use pulp::x86::{V3, V4};
        if let Some(simd) = V3::try_new() {
            check.with_simd(simd);
        }
        if let Some(simd) = V4::try_new() {
            check.with_simd(simd);
        }
    }
    pulp::Arch::new().dispatch(check);
}
