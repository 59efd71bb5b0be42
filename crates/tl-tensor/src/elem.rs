//! The element types that a tensor may hold.

use crate::{Tensor, autograd::AnyTensor, buffer::Pools, kernel::functions};
use std::{
    fmt::{Debug, Display},
    iter::Sum,
    ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub},
};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A floating-point element type: `f32` or `f64`.
///
/// The trait is sealed. Kernels and derivative rules are generic over it, so
/// that every rule is checked in `f64` and used in `f32`.
pub trait Elem:
    sealed::Sealed
    + Copy
    + Send
    + Sync
    + Debug
    + Display
    + Default
    + PartialEq
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + MulAssign
    + Sum
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// Machine epsilon of the type.
    const EPSILON: Self;
    /// Name of the type, `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// Nearest value to `x`.
    fn from_f64(x: f64) -> Self;
    /// Exact conversion to `f64`.
    fn to_f64(self) -> f64;
    /// `|x|`.
    fn abs(self) -> Self;
    /// `e^x`.
    fn exp(self) -> Self;
    /// `e^x - 1`, accurate near 0.
    fn exp_m1(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// `ln(1 + x)`, accurate near 0.
    fn ln_1p(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// `self^p`.
    fn powf(self, p: Self) -> Self;
    /// Sine.
    fn sin(self) -> Self;
    /// Cosine.
    fn cos(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The error function.
    fn erf(self) -> Self;
    /// The distribution function of the standard normal.
    fn normal_cdf(self) -> Self;
    /// Largest whole number not above `self`.
    fn floor(self) -> Self;
    /// Nearest whole number, halves to even (as PyTorch and IEEE 754 do).
    fn round(self) -> Self;
    /// Whether this is NaN.
    fn is_nan(self) -> bool;
    /// Whether this is neither NaN nor infinite.
    fn is_finite(self) -> bool;

    #[doc(hidden)]
    fn with_pools<R>(f: impl FnOnce(&mut Pools<Self>) -> R) -> Option<R>;
    #[doc(hidden)]
    fn shared_pools() -> &'static std::sync::Mutex<Pools<Self>>;
    #[doc(hidden)]
    fn wrap(tensor: Tensor<Self>) -> AnyTensor;
    #[doc(hidden)]
    fn unwrap(tensor: AnyTensor) -> Option<Tensor<Self>>;
    #[doc(hidden)]
    fn peek(tensor: &AnyTensor) -> Option<&Tensor<Self>>;
}

macro_rules! elem {
    ($t:ident, $variant:ident, $exp:path, $tanh:path, $erf:path, $cdf:path) => {
        impl Elem for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const INFINITY: Self = $t::INFINITY;
            const EPSILON: Self = $t::EPSILON;
            const NAME: &'static str = stringify!($t);

            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $t::abs(self)
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn exp_m1(self) -> Self {
                $t::exp_m1(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $t::ln(self)
            }
            #[inline(always)]
            fn ln_1p(self) -> Self {
                $t::ln_1p(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $t::sqrt(self)
            }
            #[inline(always)]
            fn powf(self, p: Self) -> Self {
                $t::powf(self, p)
            }
            #[inline(always)]
            fn sin(self) -> Self {
                $t::sin(self)
            }
            #[inline(always)]
            fn cos(self) -> Self {
                $t::cos(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $tanh(self)
            }
            #[inline(always)]
            fn erf(self) -> Self {
                $erf(self)
            }
            #[inline(always)]
            fn normal_cdf(self) -> Self {
                $cdf(self)
            }
            #[inline(always)]
            fn floor(self) -> Self {
                $t::floor(self)
            }
            #[inline(always)]
            fn round(self) -> Self {
                $t::round_ties_even(self)
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                $t::is_nan(self)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                $t::is_finite(self)
            }

            fn with_pools<R>(f: impl FnOnce(&mut Pools<Self>) -> R) -> Option<R> {
                thread_local! {
                    static POOLS: std::cell::RefCell<Pools<$t>> =
                        const { std::cell::RefCell::new(Pools::new()) };
                }
                // A thread that is shutting down has no pool any more.
                POOLS.try_with(|p| p.try_borrow_mut().ok().map(|mut p| f(&mut p))).ok().flatten()
            }
            fn shared_pools() -> &'static std::sync::Mutex<Pools<Self>> {
                static SHARED: std::sync::Mutex<Pools<$t>> = std::sync::Mutex::new(Pools::new());
                &SHARED
            }
            #[inline]
            fn wrap(tensor: Tensor<Self>) -> AnyTensor {
                AnyTensor::$variant(tensor)
            }
            #[inline]
            fn unwrap(tensor: AnyTensor) -> Option<Tensor<Self>> {
                match tensor {
                    AnyTensor::$variant(t) => Some(t),
                    _ => None,
                }
            }
            #[inline]
            fn peek(tensor: &AnyTensor) -> Option<&Tensor<Self>> {
                match tensor {
                    AnyTensor::$variant(t) => Some(t),
                    _ => None,
                }
            }
        }
    };
}

elem!(f32, F32, functions::exp, functions::tanh, functions::erf, functions::normal_cdf);
elem!(f64, F64, f64::exp, f64::tanh, libm::erf, functions::normal_cdf_f64);
