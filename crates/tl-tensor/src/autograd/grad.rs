//! Gradients of one tensor with respect to others.

use super::{
    engine::{Pass, run},
    graph::{Graph, key},
};
use crate::{Elem, Error, Result, Tensor};

/// How gradients are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GradOptions {
    /// Gradients are tracked themselves, for gradients of gradients.
    pub create_graph: bool,
    /// A tensor that the output does not depend on gets zeros; otherwise that
    /// is an error, since it is nearly always a mistake.
    pub allow_unused: bool,
}

impl GradOptions {
    /// The defaults: no graph, no unused inputs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`create_graph`](Self::create_graph).
    #[must_use]
    pub fn create_graph(mut self, yes: bool) -> Self {
        self.create_graph = yes;
        self
    }

    /// Sets [`allow_unused`](Self::allow_unused).
    #[must_use]
    pub fn allow_unused(mut self, yes: bool) -> Self {
        self.allow_unused = yes;
        self
    }
}

/// The gradients of the single number `y` with respect to each of `wrt`.
///
/// Only paths from `y` to one of `wrt` are walked. The results have the shapes
/// of `wrt` and are detached unless `options.create_graph` is set.
///
/// # Errors
/// `y` is not a single number ([`vjp`] takes any shape) or not tracked; one of
/// `wrt` is not tracked or not reached (see [`GradOptions::allow_unused`]).
///
/// ```
/// use tl_tensor::{GradOptions, Tensor, grad};
/// # fn main() -> tl_tensor::Result<()> {
/// // d³/dx³ of x⁴ at 2 is 24 x = 48.
/// let x = Tensor::scalar(2.0_f64).requires_grad();
/// let graph = GradOptions::new().create_graph(true);
/// let d1 = grad(&x.powf(4.0), &[&x], graph)?.remove(0);
/// let d2 = grad(&d1, &[&x], graph)?.remove(0);
/// let d3 = grad(&d2, &[&x], GradOptions::new())?.remove(0);
/// assert_eq!(d3.item()?, 48.0);
/// # Ok(())
/// # }
/// ```
pub fn grad<E: Elem>(
    y: &Tensor<E>,
    wrt: &[&Tensor<E>],
    options: GradOptions,
) -> Result<Vec<Tensor<E>>> {
    single("grad", y)?;
    pull("grad", y, wrt, &Tensor::ones(y.shape()), options)
}

/// The vector-Jacobian products `vᵀ ∂y/∂x` for each `x` of `wrt`; `v` has the
/// shape of `y`.
///
/// # Errors
/// As [`grad`], and if the shapes of `y` and `v` differ.
pub fn vjp<E: Elem>(
    y: &Tensor<E>,
    wrt: &[&Tensor<E>],
    v: &Tensor<E>,
    options: GradOptions,
) -> Result<Vec<Tensor<E>>> {
    if y.shape() != v.shape() {
        return Err(Error::shapes("vjp", y.shape(), v.shape(), "a vector of the output's shape"));
    }
    pull("vjp", y, wrt, v, options)
}

pub(super) fn single<E: Elem>(op: &'static str, y: &Tensor<E>) -> Result<()> {
    if y.numel() == 1 {
        return Ok(());
    }
    Err(Error::shape(
        op,
        y.shape(),
        "a single number: reduce the loss with `sum_all` or `mean_all`",
    ))
}

fn pull<E: Elem>(
    op: &'static str,
    y: &Tensor<E>,
    wrt: &[&Tensor<E>],
    seed: &Tensor<E>,
    options: GradOptions,
) -> Result<Vec<Tensor<E>>> {
    let zeros = |x: &Tensor<E>| Tensor::zeros(x.shape());
    let Some(root) = &y.node else {
        if options.allow_unused {
            return Ok(wrt.iter().map(|x| zeros(x)).collect());
        }
        return Err(Error::Untracked { op });
    };
    let mut wanted = Vec::with_capacity(wrt.len());
    for (position, x) in wrt.iter().enumerate() {
        match &x.node {
            Some(node) => wanted.push(node),
            None if options.allow_unused => {}
            None => return Err(Error::Unreached { op, position }),
        }
    }
    let floor = wanted.iter().map(|n| n.order).min().unwrap_or(0);
    let graph = Graph::below(root, floor, &[]);
    if options.allow_unused {
        wanted.retain(|n| graph.at.contains_key(&key(n)));
    }
    let seed = E::wrap(if options.create_graph { seed.clone() } else { seed.detach() });
    let pass = Pass { create_graph: options.create_graph, products: false };
    let (graph, slots) = run(op, graph, seed, Some(&wanted), pass)?;
    wrt.iter()
        .enumerate()
        .map(|(position, x)| {
            let found = x
                .node
                .as_ref()
                .and_then(|n| graph.at.get(&key(n)))
                .and_then(|&p| slots.slots[p as usize].as_ref())
                .and_then(E::peek);
            match found {
                Some(gradient) => Ok(gradient.clone()),
                None if options.allow_unused => Ok(zeros(x)),
                None => Err(Error::Unreached { op, position }),
            }
        })
        .collect()
}
