//! Sums in one fixed tree, whoever computes which part.

use std::ops::Range;

/// The sum below one node of the tree: over the leaves
/// `index · 2^level .. (index + 1) · 2^level`, as far as there are any.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) level: u32,
    pub(crate) index: usize,
    /// None if none of its leaves is there.
    pub(crate) sum: Option<Vec<f32>>,
}

/// A sum over numbered leaves, which arrive in order: neighbours `2i` and
/// `2i + 1` are added first, then neighbouring pairs, and so on; one without a
/// neighbour goes up as it is.
///
/// Every addition has the same two operands, whoever holds the leaves. So a run
/// of leaves summed on one rank and the rest on others give the bits of all
/// leaves summed by one. At most `log2(leaves) + 1` sums are held at once.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    leaves: usize,
    stack: Vec<Node>,
}

impl Tree {
    pub(crate) fn new(leaves: usize) -> Self {
        Self { leaves, stack: Vec::new() }
    }

    pub(crate) fn push_leaf(&mut self, leaf: usize, sum: Option<Vec<f32>>) {
        self.push(Node { level: 0, index: leaf, sum });
    }

    /// Adds the node that follows those before it.
    pub(crate) fn push(&mut self, mut node: Node) {
        loop {
            let whole = node.index == 0 && reach(node.level) >= self.leaves;
            let alone = node.index.is_multiple_of(2)
                && (node.index + 1).saturating_mul(reach(node.level)) >= self.leaves;
            if !whole && alone {
                node = Node { level: node.level + 1, index: node.index / 2, ..node };
                continue;
            }
            let sibling = self.stack.last().is_some_and(|left| {
                left.level == node.level && left.index + 1 == node.index && node.index % 2 == 1
            });
            match self.stack.pop() {
                Some(left) if sibling => node = join(left, node),
                left => {
                    self.stack.extend(left);
                    self.stack.push(node);
                    return;
                }
            }
        }
    }

    /// The sums that could not be joined further; one, if all leaves came.
    pub(crate) fn into_nodes(self) -> Vec<Node> {
        self.stack
    }

    /// The nodes that a run of leaves makes, without sums: which have one.
    pub(crate) fn cover(
        leaves: usize,
        run: Range<usize>,
        is_there: impl Fn(usize) -> bool,
    ) -> Vec<Node> {
        let mut tree = Self::new(leaves);
        for leaf in run {
            tree.push_leaf(leaf, is_there(leaf).then(Vec::new));
        }
        tree.into_nodes()
    }
}

/// The leaves below a node of this level.
fn reach(level: u32) -> usize {
    1_usize.checked_shl(level).unwrap_or(usize::MAX)
}

fn join(left: Node, right: Node) -> Node {
    let sum = match (left.sum, right.sum) {
        (Some(mut a), Some(b)) => {
            for (a, b) in a.iter_mut().zip(&b) {
                *a += b;
            }
            Some(a)
        }
        (one, other) => one.or(other),
    };
    Node { level: left.level + 1, index: left.index / 2, sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(leaves: &[Option<f32>], runs: &[Range<usize>]) -> Option<f32> {
        let mut whole = Tree::new(leaves.len());
        for run in runs {
            let mut part = Tree::new(leaves.len());
            for i in run.clone() {
                part.push_leaf(i, leaves[i].map(|x| vec![x]));
            }
            let nodes = part.into_nodes();
            let cover = Tree::cover(leaves.len(), run.clone(), |i| leaves[i].is_some());
            assert_eq!(nodes.len(), cover.len());
            for (node, expected) in nodes.into_iter().zip(cover) {
                assert_eq!((node.level, node.index), (expected.level, expected.index));
                assert_eq!(node.sum.is_some(), expected.sum.is_some());
                whole.push(node);
            }
        }
        let nodes = whole.into_nodes();
        assert_eq!(nodes.len(), 1);
        nodes[0].sum.as_ref().map(|sum| sum[0])
    }

    #[test]
    fn five_leaves_are_two_pairs_and_one() {
        let x = [1.0e8_f32, 1.0, -1.0e8, 1.0, 1.0].map(Some);
        let expected = ((1.0e8_f32 + 1.0) + (-1.0e8 + 1.0)) + 1.0;
        assert_eq!(sum(&x, std::slice::from_ref(&(0..5))), Some(expected));
        assert_eq!(sum(&x, &[0..1, 1..4, 4..5]), Some(expected));
    }

    proptest! {
        /// However the leaves are dealt out, and whichever are missing.
        #[test]
        fn the_bits_do_not_depend_on_who_adds(
            leaves in prop::collection::vec(prop::option::weighted(0.8, -1.0e6_f32..1.0e6), 1..40),
            cuts in prop::collection::vec(0_usize..40, 0..6),
        ) {
            let n = leaves.len();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(n)).chain([0, n]).collect();
            cuts.sort_unstable();
            let runs: Vec<Range<usize>> = cuts.windows(2).map(|w| w[0]..w[1]).collect();
            let whole = std::iter::once(0..n).collect::<Vec<_>>();
            let (a, b) = (sum(&leaves, &whole), sum(&leaves, &runs));
            prop_assert_eq!(a.map(f32::to_bits), b.map(f32::to_bits));
        }
    }
}
