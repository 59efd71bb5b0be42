//! The backward pass.

use super::node::{Node, NodeRef};
use crate::{Elem, Error, Result, Tensor, Value};
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    marker::PhantomData,
    sync::Arc,
};

/// A tensor of either element type.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AnyTensor {
    /// A tensor of `f32`.
    F32(Tensor<f32>),
    /// A tensor of `f64`.
    F64(Tensor<f64>),
}

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

/// A node's address; a number, since it is only compared.
pub(super) type Key = usize;

pub(super) fn key(node: &NodeRef) -> Key {
    Arc::as_ptr(node).cast::<u8>() as usize
}

/// Addresses are good hashes after one multiplication.
#[derive(Default)]
pub(super) struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u64(u64::from(b));
        }
    }
    fn write_u64(&mut self, x: u64) {
        let mixed = (self.0 ^ x).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 29);
    }
    fn write_usize(&mut self, x: usize) {
        self.write_u64(x as u64);
    }
}

pub(super) type Addresses<T> = HashMap<Key, T, BuildHasherDefault<AddressHasher>>;

const NOWHERE: u32 = u32::MAX;

/// The part of the graph that a pass walks.
pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<&'a NodeRef>,
    /// For each node where its parents' entries in `parents` begin.
    first: Vec<u32>,
    /// Positions of parents in `nodes`; `NOWHERE` for an untracked one.
    parents: Vec<u32>,
    at: Addresses<u32>,
}

impl<'a> Graph<'a> {
    /// What can be reached from `root`, but nothing below order `floor` and
    /// nothing past a node of `cut`.
    pub(super) fn below(root: &'a NodeRef, floor: u32, cut: &[&NodeRef]) -> Self {
        let mut graph = Self {
            nodes: vec![root],
            first: Vec::new(),
            parents: Vec::new(),
            at: Addresses::default(),
        };
        graph.at.insert(key(root), 0);
        let mut next = 0;
        while next < graph.nodes.len() {
            let node: &'a Node = graph.nodes[next];
            let stop = cut.iter().any(|c| key(c) == key(graph.nodes[next]));
            graph.first.push(graph.parents.len() as u32);
            for parent in &node.parents {
                let position = match parent {
                    Some(parent) if !stop && parent.order >= floor => {
                        let fresh = graph.nodes.len() as u32;
                        // Held by this node alone, it cannot be met again, nor
                        // be asked for: whoever asks holds it too.
                        let position = if Arc::strong_count(parent) == 1 {
                            fresh
                        } else {
                            *graph.at.entry(key(parent)).or_insert(fresh)
                        };
                        if position == fresh {
                            graph.nodes.push(parent);
                        }
                        position
                    }
                    _ => NOWHERE,
                };
                graph.parents.push(position);
            }
            next += 1;
        }
        graph
    }

    fn parents_of(&self, position: usize) -> &[u32] {
        let from = self.first[position] as usize;
        &self.parents[from..from + self.nodes[position].parents.len()]
    }

    /// Positions such that every node comes before its parents.
    fn descending(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.nodes.len() as u32).collect();
        if self.nodes.windows(2).all(|pair| pair[0].order >= pair[1].order) {
            return order;
        }
        order.sort_by_key(|&p| std::cmp::Reverse(self.nodes[p as usize].order));
        order
    }
}

/// The gradients that are under way.
pub(super) struct Slots {
    pub(super) slots: Vec<Option<AnyTensor>>,
    /// Whether a gradient at this position leads to something asked for.
    needed: Vec<bool>,
    create_graph: bool,
    /// In a pass that keeps products: for each position of a variable the
    /// factors `g` and `x` of what it got as `gᵀ x`.
    pub(super) products: Option<Vec<Vec<(AnyTensor, AnyTensor)>>>,
}

/// One node's turn in the backward pass.
pub(crate) struct Step<'a> {
    node: &'a NodeRef,
    parents: &'a [u32],
    slots: &'a mut Slots,
}

/// What a derivative rule sees of the backward pass: its inputs, its output,
/// and where gradients go. See [`Op`](crate::Op).
pub struct Vjp<'a, E: Elem> {
    node: &'a NodeRef,
    parents: &'a [u32],
    slots: &'a mut Slots,
    elem: PhantomData<fn() -> E>,
}

impl<'a, E: Elem> Vjp<'a, E> {
    pub(crate) fn new(step: &'a mut Step<'_>) -> Self {
        Self { node: step.node, parents: step.parents, slots: step.slots, elem: PhantomData }
    }

    /// Whether the gradients are to have gradients. A fused kernel that is not
    /// differentiable itself may be used only if this is false.
    #[inline]
    pub fn create_graph(&self) -> bool {
        self.slots.create_graph
    }

    /// Whether input `i` needs a gradient.
    #[inline]
    pub fn needs(&self, i: usize) -> bool {
        self.parents.get(i).is_some_and(|&p| p != NOWHERE && self.slots.needed[p as usize])
    }

    /// Input `i`, whose numbers the operation saved; tracked if gradients are
    /// to have gradients.
    #[inline]
    pub fn input(&self, i: usize, saved: &Value<E>) -> Tensor<E> {
        let node = if self.slots.create_graph { self.node.parents[i].clone() } else { None };
        Tensor { value: saved.clone(), node }
    }

    /// The output, whose numbers the operation saved; tracked if gradients are
    /// to have gradients.
    #[inline]
    pub fn output(&self, saved: &Value<E>) -> Tensor<E> {
        let node = self.slots.create_graph.then(|| self.node.clone());
        Tensor { value: saved.clone(), node }
    }

    /// Gives input `i` its gradient. `gradient` runs only if it is needed.
    ///
    /// # Errors
    /// Those of `gradient`; and [`Error::Rule`] if the input got a gradient
    /// before whose shape is another.
    #[inline]
    pub fn give(&mut self, i: usize, gradient: impl FnOnce() -> Result<Tensor<E>>) -> Result<()> {
        self.give_as(i, gradient)
    }

    /// [`give`](Self::give) for an input of another element type.
    ///
    /// # Errors
    /// As [`give`](Self::give).
    pub fn give_as<F: Elem>(
        &mut self,
        i: usize,
        gradient: impl FnOnce() -> Result<Tensor<F>>,
    ) -> Result<()> {
        if !self.needs(i) {
            return Ok(());
        }
        let more = gradient()?;
        let slot = &mut self.slots.slots[self.parents[i] as usize];
        if slot.is_none() {
            *slot = Some(F::wrap(more));
            return Ok(());
        }
        *slot = Some(match slot.take() {
            None => F::wrap(more),
            Some(sum) => match F::unwrap(sum) {
                Some(sum) if sum.shape() == more.shape() => F::wrap(accumulate(sum, &more)?),
                _ => {
                    return Err(Error::Rule {
                        op: self.node.op.name(),
                        problem: format!(
                            "gives input {i} a gradient of shape {}, which is not the input's",
                            more.shape()
                        ),
                    });
                }
            },
        });
        Ok(())
    }

    /// Gives input `i`, a matrix `[out, in]`, the gradient `gᵀ x` with `g`
    /// `[m, out]` and `x` `[m, in]`. A pass that keeps products
    /// ([`Tensor::backward_factored`]) gets the two as they are if the input
    /// is a variable; any other gets their product.
    ///
    /// # Errors
    /// As [`give`](Self::give).
    pub fn give_product(&mut self, i: usize, g: &Tensor<E>, x: &Tensor<E>) -> Result<()> {
        if !self.needs(i) {
            return Ok(());
        }
        let position = self.parents[i] as usize;
        let variable = self.node.parents[i].as_ref().is_some_and(|p| p.parents.is_empty());
        match &mut self.slots.products {
            Some(products) if variable => {
                products[position].push((E::wrap(g.clone()), E::wrap(x.clone())));
                Ok(())
            }
            _ => self.give(i, || g.t()?.matmul(x)),
        }
    }

    /// The gradients of a fused operation from `forward`, the same formula in
    /// plain tensor operations, differentiated with its graph kept. For the
    /// `create_graph` pass of operations whose rule is a kernel.
    ///
    /// `saved` are the inputs; `forward` gets them in the same order.
    ///
    /// # Errors
    /// Those of `forward` and its rules.
    pub fn composite(
        &mut self,
        saved: &[&Value<E>],
        g: &Tensor<E>,
        forward: impl FnOnce(&[Tensor<E>]) -> Result<Tensor<E>>,
    ) -> Result<()> {
        // An alias has its input's numbers but a node of its own, at which
        // the inner pass stops: it does not walk the outer graph.
        let inputs: Vec<Tensor<E>> =
            saved.iter().enumerate().map(|(i, v)| self.input(i, v).alias()).collect();
        let wanted: Vec<usize> =
            (0..inputs.len()).filter(|&i| self.needs(i) && inputs[i].is_tracked()).collect();
        let y = forward(&inputs)?;
        let Some(root) = &y.node else { return Ok(()) };
        let cut: Vec<&NodeRef> = inputs.iter().filter_map(|t| t.node.as_ref()).collect();
        let graph = Graph::below(root, 0, &cut);
        let nodes: Vec<&NodeRef> = wanted
            .iter()
            .filter_map(|&i| inputs[i].node.as_ref())
            .filter(|n| graph.at.contains_key(&key(n)))
            .collect();
        let pass = Pass { create_graph: true, products: false };
        let (graph, slots) = run("composite", graph, E::wrap(g.clone()), Some(&nodes), pass)?;
        for i in wanted {
            let found = inputs[i]
                .node
                .as_ref()
                .and_then(|n| graph.at.get(&key(n)))
                .and_then(|&p| slots.slots[p as usize].as_ref())
                .and_then(E::peek);
            if let Some(gradient) = found {
                self.give(i, || Ok(gradient.clone()))?;
            }
        }
        Ok(())
    }
}

/// `sum + more`; into the storage of `sum` if no one else holds it.
fn accumulate<E: Elem>(mut sum: Tensor<E>, more: &Tensor<E>) -> Result<Tensor<E>> {
    if sum.node.is_none()
        && more.node.is_none()
        && let Some(more) = more.value.as_slice()
        && let Some(into) = sum.value.unique_mut()
    {
        crate::kernel::map::add_into(into, more);
        return Ok(sum);
    }
    sum.add(more)
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
        if !below.iter().any(|&q| q != NOWHERE && slots.needed[q as usize]) {
            continue;
        }
        let gradient = if keep[p] { slots.slots[p].clone() } else { slots.slots[p].take() };
        if let Some(gradient) = gradient {
            let node = graph.nodes[p];
            node.op.vjp(&mut Step { node, parents: below, slots: &mut slots }, gradient)?;
        }
    }
    Ok((graph, slots))
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

/// The gradients of all variables that a loss depends on.
///
/// Holds the graph's variables, so an address is never used twice.
#[derive(Default)]
pub struct Gradients {
    by_node: Addresses<(NodeRef, AnyTensor)>,
}

impl Gradients {
    /// The gradient of variable `x`; none if the loss does not depend on it.
    pub fn get<E: Elem>(&self, x: &Tensor<E>) -> Option<&Tensor<E>> {
        let node = x.node.as_ref()?;
        self.by_node.get(&key(node)).and_then(|(_, g)| E::peek(g))
    }

    /// Takes the gradient of variable `x` out.
    pub fn remove<E: Elem>(&mut self, x: &Tensor<E>) -> Option<Tensor<E>> {
        let node = x.node.as_ref()?;
        let (node, gradient) = self.by_node.remove(&key(node))?;
        match E::unwrap(gradient) {
            Some(gradient) => Some(gradient),
            None => {
                drop(node);
                None
            }
        }
    }

    /// Sets the gradient of variable `x`, as clipping or balancing do. Without
    /// effect on a tensor that is not tracked.
    pub fn insert<E: Elem>(&mut self, x: &Tensor<E>, gradient: Tensor<E>) {
        if let Some(node) = &x.node {
            self.by_node.insert(key(node), (node.clone(), E::wrap(gradient)));
        }
    }

    /// The number of variables.
    pub fn len(&self) -> usize {
        self.by_node.len()
    }

    /// Whether no variable was reached.
    pub fn is_empty(&self) -> bool {
        self.by_node.is_empty()
    }
}

impl<E: Elem> Tensor<E> {
    /// The gradients of this single number with respect to all variables
    /// (tensors made with [`requires_grad`](Self::requires_grad)) that went
    /// into it.
    ///
    /// # Errors
    /// Not a single number, or not tracked.
    pub fn backward(&self) -> Result<Gradients> {
        single("backward", self)?;
        let root = self.node.as_ref().ok_or(Error::Untracked { op: "backward" })?;
        let seed = E::wrap(Self::ones(self.shape()));
        let graph = Graph::below(root, 0, &[]);
        let (graph, mut slots) =
            run("backward", graph, seed, None, Pass { create_graph: false, products: false })?;
        let mut gradients = Gradients::default();
        for (p, &node) in graph.nodes.iter().enumerate() {
            if node.parents.is_empty()
                && let Some(gradient) = slots.slots[p].take()
            {
                gradients.by_node.insert(key(node), (node.clone(), gradient));
            }
        }
        Ok(gradients)
    }
}
