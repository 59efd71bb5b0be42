//! The operators `+ - * /` and unary minus.
//!
//! Sugar: they panic with the message that the method of the same meaning
//! ([`Tensor::add`] and its kin) returns as an error.

use crate::{Elem, Result, Tensor};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// Operators have no way to return an error: a panic with its message is their
/// documented behaviour.
#[track_caller]
fn or_panic<E: Elem>(result: Result<Tensor<E>>) -> Tensor<E> {
    match result {
        Ok(tensor) => tensor,
        Err(error) => panic!("{error}"),
    }
}

macro_rules! operator {
    ($($Trait:ident $method:ident |$x:ident, $n:ident| $scalar:expr;)*) => {
        $(
            operator!(@pair $Trait $method [&Tensor<E>] [&Tensor<E>]);
            operator!(@pair $Trait $method [&Tensor<E>] [Tensor<E>]);
            operator!(@pair $Trait $method [Tensor<E>] [&Tensor<E>]);
            operator!(@pair $Trait $method [Tensor<E>] [Tensor<E>]);

            impl<E: Elem> $Trait<E> for &Tensor<E> {
                type Output = Tensor<E>;
                fn $method(self, $n: E) -> Tensor<E> {
                    let $x = self;
                    $scalar
                }
            }

            impl<E: Elem> $Trait<E> for Tensor<E> {
                type Output = Tensor<E>;
                fn $method(self, $n: E) -> Tensor<E> {
                    let $x = &self;
                    $scalar
                }
            }
        )*
    };
    (@pair $Trait:ident $method:ident [$($left:tt)*] [$($right:tt)*]) => {
        impl<E: Elem> $Trait<$($right)*> for $($left)* {
            type Output = Tensor<E>;
            /// # Panics
            /// The shapes do not broadcast.
            #[track_caller]
            fn $method(self, other: $($right)*) -> Tensor<E> {
                let (left, right): (&Tensor<E>, &Tensor<E>) = (&self, &other);
                or_panic(Tensor::$method(left, right))
            }
        }
    };
}

operator! {
    Add add |x, n| x.add_scalar(n);
    Sub sub |x, n| x.add_scalar(-n);
    Mul mul |x, n| x.mul_scalar(n);
    Div div |x, n| x.mul_scalar(E::ONE / n);
}

impl<E: Elem> Neg for &Tensor<E> {
    type Output = Tensor<E>;
    fn neg(self) -> Tensor<E> {
        Tensor::neg(self)
    }
}

impl<E: Elem> Neg for Tensor<E> {
    type Output = Tensor<E>;
    fn neg(self) -> Tensor<E> {
        Tensor::neg(&self)
    }
}
