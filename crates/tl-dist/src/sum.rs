//! The sum of all ranks' shards.

use crate::{
    Collective, Error, Plan, Reduction, Result,
    plan::part,
    tree::{Node, Tree},
};

/// What the sum over shards needs to know of them, the same on all ranks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape<'a> {
    /// Which leaves each rank has, by rank: a run that follows the one before.
    pub(crate) runs: &'a [std::ops::Range<usize>],
    /// Which leaves are there at all.
    pub(crate) there: &'a [bool],
    /// Numbers of a leaf.
    pub(crate) length: usize,
}

/// The sum of all leaves in the fixed tree, on every rank; `nodes` are those of
/// this rank's leaves.
///
/// The numbers are cut into one slice for each rank. Each sends its nodes'
/// slices to their rank, which adds them up in the tree and sends the sum to
/// all: `2 (n - 1) / n` of the length go out of each rank, as in a ring, times the
/// nodes that its run of leaves makes (one, if leaves and ranks are powers of
/// two).
pub(crate) fn in_tree(
    world: &dyn Collective,
    nodes: Vec<Node>,
    shape: Shape<'_>,
) -> Result<Vec<f32>> {
    let Shape { runs, there, length } = shape;
    let (rank, size, leaves) = (world.rank(), world.size(), there.len());
    let none = || Error::argument("sum", "shards", 0, "at least one that is not empty");
    if size == 1 {
        return nodes.into_iter().find_map(|node| node.sum).ok_or_else(none);
    }
    let slice = |rank| part(length, size, rank);
    let send: Vec<Vec<f32>> = (0..size)
        .map(|to| {
            nodes
                .iter()
                .filter_map(|n| n.sum.as_ref())
                .flat_map(|s| &s[slice(to)])
                .copied()
                .collect()
        })
        .collect();
    drop(nodes);
    let covers: Vec<Vec<Node>> =
        runs.iter().map(|run| Tree::cover(leaves, run.clone(), |leaf| there[leaf])).collect();
    let width = slice(rank).len();
    let expected: Vec<usize> =
        covers.iter().map(|c| width * c.iter().filter(|n| n.sum.is_some()).count()).collect();
    let received = world.all_to_all(send, &expected)?;
    let mut tree = Tree::new(leaves);
    for (cover, numbers) in covers.into_iter().zip(received) {
        let mut rest = numbers.as_slice();
        for node in cover {
            let sum = node.sum.is_some().then(|| {
                let (own, after) = rest.split_at(width);
                rest = after;
                own.to_vec()
            });
            tree.push(Node { sum, ..node });
        }
    }
    let own = tree.into_nodes().into_iter().find_map(|node| node.sum).ok_or_else(none)?;
    let widths: Vec<usize> = (0..size).map(|rank| slice(rank).len()).collect();
    world.all_gather(own, &widths)
}

/// The sum of all ranks' shards as the plan has it.
pub(crate) fn planned(
    world: &dyn Collective,
    plan: &Plan,
    nodes: Vec<Node>,
    there: &[bool],
    length: usize,
) -> Result<Vec<f32>> {
    match plan.reduction() {
        Reduction::Fast => {
            let own = nodes.into_iter().find_map(|node| node.sum);
            world.all_reduce(own.unwrap_or_else(|| vec![0.0; length]))
        }
        Reduction::Deterministic { .. } => {
            let runs: Vec<_> = (0..plan.ranks()).map(|rank| plan.of_rank(rank)).collect();
            in_tree(world, nodes, Shape { runs: &runs, there, length })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Threads;

    fn leaf(i: usize, length: usize) -> Vec<f32> {
        (0..length)
            .map(|k| ((i * 37 + k * 11) as f32).sin() * 10.0_f32.powi((i % 5) as i32))
            .collect()
    }

    fn sum(ranks: usize, shards: usize, there: &[bool], length: usize) -> Vec<Vec<f32>> {
        Threads::run::<_, Error>(ranks, |world| {
            let plan = Plan::new(world, Reduction::Deterministic { shards })?;
            let mut tree = Tree::new(shards);
            for i in plan.own() {
                tree.push_leaf(i, there[i].then(|| leaf(i, length)));
            }
            planned(world, &plan, tree.into_nodes(), there, length)
        })
        .unwrap()
    }

    #[test]
    fn any_number_of_ranks_gives_the_same_bits() {
        for shards in [4, 6, 7, 16] {
            let mut there = vec![true; shards];
            for missing in [false, true] {
                there[shards - 1] = !missing;
                for length in [1, 2, 13] {
                    let one = sum(1, shards, &there, length).remove(0);
                    let plain: Vec<f64> = (0..length)
                        .map(|k| {
                            let rows = (0..shards).filter(|&i| there[i]);
                            rows.map(|i| f64::from(leaf(i, length)[k])).sum()
                        })
                        .collect();
                    for (got, want) in one.iter().zip(plain) {
                        assert!((f64::from(*got) - want).abs() < 1e-2, "{got} {want}");
                    }
                    for ranks in 2..=4 {
                        for rank in sum(ranks, shards, &there, length) {
                            assert_eq!(rank, one, "{ranks} ranks, {shards} shards");
                        }
                    }
                }
            }
        }
    }
}
