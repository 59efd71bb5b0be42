//! Functions of elements, of one, two and three tensors.

use super::{
    Entry,
    generator::{Case, Generator, T, case},
};
use tl_tensor::Result;

/// A function of one tensor, over all numbers, positive ones, or ones that are
/// away from its kinks.
macro_rules! unary {
    ($($kind:ident $name:ident($($argument:expr),*)),* $(,)?) => {
        &[$((stringify!($name), |g: &mut Generator| {
            let x = unary!(@$kind g);
            case([x], |v: &[T]| Ok(v[0].$name($($argument),*)))
        })),*]
    };
    (@any $g:ident) => { $g.any() };
    (@positive $g:ident) => { $g.positive() };
    (@apart $g:ident) => { { let dims = $g.dims(); $g.apart(&dims) } };
}

const ONE: &[Entry] = unary![
    any neg(), any exp(), any expm1(), any sin(), any cos(), any tanh(), any sigmoid(),
    any square(), any silu(), any softplus(), any gelu(), any gelu_tanh(), any erf(),
    any add_scalar(1.5), any mul_scalar(-0.7), any affine(0.3, 2.0), any alias(), any contiguous(),
    positive log(), positive log1p(), positive sqrt(), positive rsqrt(), positive recip(),
    positive powf(1.7), positive cast(),
    apart abs(), apart relu(), apart leaky_relu(0.1), apart elu(0.9), apart hardswish(),
    apart clamp(-0.4, 0.5), apart sign(), apart floor(), apart round(),
];

fn two(g: &mut Generator, f: fn(&T, &T) -> Result<T>) -> Case {
    let small = g.broadcastable();
    let (x, y) = (g.any(), g.normal(&small));
    // Either one is the one that is spread.
    let swap = g.below(2) == 0;
    case([x, y], move |v| if swap { f(&v[1], &v[0]) } else { f(&v[0], &v[1]) })
}

fn two_positive(g: &mut Generator, f: fn(&T, &T) -> Result<T>) -> Case {
    let small = g.broadcastable();
    let inputs = [g.positive(), g.uniform(&small, 0.5, 2.0)];
    case(inputs, move |v| f(&v[0], &v[1]))
}

const SEVERAL: &[Entry] = &[
    ("add", |g| two(g, T::add)),
    ("sub", |g| two(g, T::sub)),
    ("mul", |g| two(g, T::mul)),
    ("div", |g| two_positive(g, T::div)),
    ("pow", |g| two_positive(g, T::pow)),
    ("maximum", |g| two(g, T::maximum)),
    ("minimum", |g| two(g, T::minimum)),
    ("lerp", |g| {
        let (a, b) = (g.broadcastable(), g.broadcastable());
        case([g.any(), g.normal(&a), g.normal(&b)], |v| v[0].lerp(&v[1], &v[2]))
    }),
    ("addcmul", |g| {
        let (a, b) = (g.broadcastable(), g.broadcastable());
        case([g.any(), g.normal(&a), g.normal(&b)], |v| v[0].addcmul(&v[1], &v[2], 0.3))
    }),
    ("where_cond", |g| {
        let (m, y) = (g.broadcastable(), g.broadcastable());
        let mask = g.mask(&m);
        case([g.any(), g.normal(&y)], move |v| T::where_cond(&mask, &v[0], &v[1]))
    }),
    ("masked_fill", |g| {
        let m = g.broadcastable();
        let mask = g.mask(&m);
        case([g.any()], move |v| v[0].masked_fill(&mask, -3.0))
    }),
];

pub const OPS: &[Entry] = {
    const ALL: [Entry; ONE.len() + SEVERAL.len()] = {
        let mut all = [ONE[0]; ONE.len() + SEVERAL.len()];
        let mut i = 0;
        while i < all.len() {
            all[i] = if i < ONE.len() { ONE[i] } else { SEVERAL[i - ONE.len()] };
            i += 1;
        }
        all
    };
    &ALL
};
