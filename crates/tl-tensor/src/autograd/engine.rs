//! The backward pass.

use super::{
    graph::{Graph, NOWHERE, key},
    node::NodeRef,
    vjp::{Slots, Step},
};
use crate::{Error, Result, Tensor};

/// A tensor of either element type.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AnyTensor {
    /// A tensor of `f32`.
    F32(Tensor<f32>),
    /// A tensor of `f64`.
    F64(Tensor<f64>),
}

/// What a backward pass leaves.
#[derive(Clone, Copy)]
pub(super) struct Pass {
    /// Gradients that have gradients.
    pub(super) create_graph: bool,
    /// Products of matrices that are not multiplied out.
    pub(super) products: bool,
}

/// Runs the backward pass from the graph's root with the gradient `seed`;
/// `wanted` are the nodes asked for, or none for all leaves. Returns the
/// graph's slots, of which those of wanted nodes are kept.
pub(super) fn run<'a>(
    op: &'static str,
    graph: Graph<'a>,
    seed: AnyTensor,
    wanted: Option<&[&NodeRef]>,
    pass: Pass,
) -> Result<(Graph<'a>, Slots)> {
    run_watched(op, graph, seed, wanted, pass, |_, _, _| {})
}

/// As [`run`]; `after` is called when the node at a position had its turn, in
/// that order, with the slots as they are then.
pub(super) fn run_watched<'a>(
    op: &'static str,
    graph: Graph<'a>,
    seed: AnyTensor,
    wanted: Option<&[&NodeRef]>,
    pass: Pass,
    mut after: impl FnMut(&Graph<'a>, usize, &mut Slots),
) -> Result<(Graph<'a>, Slots)> {
    let order = graph.descending();
    let count = graph.nodes.len();
    let mut keep = vec![false; count];
    let mut needed = vec![true; count];
    if let Some(wanted) = wanted {
        for (position, node) in wanted.iter().enumerate() {
            match graph.at.get(&key(node)) {
                Some(&p) => keep[p as usize] = true,
                None => return Err(Error::Unreached { op, position }),
            }
        }
        for &p in order.iter().rev() {
            let p = p as usize;
            needed[p] =
                keep[p] || graph.parents_of(p).iter().any(|&q| q != NOWHERE && needed[q as usize]);
        }
    } else {
        for (p, node) in graph.nodes.iter().enumerate() {
            keep[p] = node.parents.is_empty();
        }
    }
    let mut slots = Slots {
        slots: vec![None; count],
        needed,
        create_graph: pass.create_graph,
        products: pass.products.then(|| vec![Vec::new(); count]),
    };
    slots.slots[0] = Some(seed);
    for &p in &order {
        let p = p as usize;
        let below = graph.parents_of(p);
        if below.iter().any(|&q| q != NOWHERE && slots.needed[q as usize]) {
            let node = graph.nodes[p];
            let slots = &mut slots;
            node.op.vjp(&mut Step { node, parents: below, at: p, keep: keep[p], slots })?;
        }
        after(&graph, p, &mut slots);
    }
    Ok((graph, slots))
}
