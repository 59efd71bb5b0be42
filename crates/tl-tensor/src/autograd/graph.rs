//! The part of a graph that a pass walks.

use super::node::{Node, NodeRef};
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};
use triomphe::Arc;

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

pub(super) const NOWHERE: u32 = u32::MAX;

/// The part of the graph that a pass walks.
pub(super) struct Graph<'a> {
    pub(super) nodes: Vec<&'a NodeRef>,
    /// For each node where its parents' entries in `parents` begin.
    first: Vec<u32>,
    /// Positions of parents in `nodes`; `NOWHERE` for an untracked one.
    parents: Vec<u32>,
    pub(super) at: Addresses<u32>,
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
                        let position = if Arc::is_unique(parent) {
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

    pub(super) fn parents_of(&self, position: usize) -> &[u32] {
        let from = self.first[position] as usize;
        &self.parents[from..from + self.nodes[position].parents.len()]
    }

    /// Positions such that every node comes before its parents.
    pub(super) fn descending(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.nodes.len() as u32).collect();
        if self.nodes.windows(2).all(|pair| pair[0].order >= pair[1].order) {
            return order;
        }
        order.sort_by_key(|&p| std::cmp::Reverse(self.nodes[p as usize].order));
        order
    }
}
