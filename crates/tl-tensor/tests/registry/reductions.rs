//! Reductions over axes, and scans.

use super::{
    Entry,
    generator::{Case, Generator, T, case},
};
use tl_tensor::Result;

type Reduce = fn(&T, &[isize], bool) -> Result<T>;

/// Over one axis or all, kept or not.
fn over(g: &mut Generator, x: T, f: Reduce) -> Case {
    let axes = if g.below(3) == 0 { (0..g.rank() as isize).collect() } else { vec![g.axis()] };
    let keep = g.below(2) == 0;
    case([x], move |v| f(&v[0], &axes, keep))
}

fn any(g: &mut Generator, f: Reduce) -> Case {
    let x = g.any();
    over(g, x, f)
}

fn apart(g: &mut Generator, f: Reduce) -> Case {
    let dims = g.dims();
    let x = g.apart(&dims);
    over(g, x, f)
}

/// At least two numbers along every axis.
fn several(g: &mut Generator, f: Reduce) -> Case {
    let dims: Vec<usize> = g.dims().into_iter().map(|d| d + 1).collect();
    let x = g.normal(&dims);
    over(g, x, f)
}

pub const OPS: &[Entry] = &[
    ("sum", |g| any(g, |x, axes, keep| x.sum(axes, keep))),
    ("mean", |g| any(g, |x, axes, keep| x.mean(axes, keep))),
    ("prod", |g| any(g, |x, axes, keep| x.prod(axes, keep))),
    ("logsumexp", |g| any(g, |x, axes, keep| x.logsumexp(axes, keep))),
    ("norm", |g| apart(g, |x, axes, keep| x.norm(axes, keep))),
    ("max", |g| apart(g, |x, axes, keep| x.max(axes, keep))),
    ("min", |g| apart(g, |x, axes, keep| x.min(axes, keep))),
    ("var", |g| several(g, |x, axes, keep| x.var(axes, true, keep))),
    ("std", |g| several(g, |x, axes, keep| x.std(axes, false, keep))),
    ("sum_all", |g| case([g.any()], |v| Ok(v[0].sum_all()))),
    ("mean_all", |g| case([g.any()], |v| Ok(v[0].mean_all()))),
    ("cumsum", |g| {
        let axis = g.axis();
        case([g.any()], move |v| v[0].cumsum(axis))
    }),
    ("sum_to", |g| {
        let small = tl_tensor::Shape::new(&g.broadcastable()).unwrap();
        case([g.any()], move |v| v[0].sum_to(&small))
    }),
];
