//! Gradients in buckets, sent as they fill.

use crate::{
    Plan,
    tree::{Node, Tree},
};
use std::sync::mpsc::Sender;
use tl_nn::Tensor;

/// Which numbers of which bucket are the gradient of which variable.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// For each variable: bucket, start in it, and place among its variables.
    places: Vec<(usize, usize, usize)>,
    buckets: Vec<Bucket>,
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    /// Numbers of gradients.
    numbers: usize,
    variables: usize,
}

impl Bucket {
    /// The gradients, then for each variable a 1 if it got one.
    fn length(&self) -> usize {
        self.numbers + self.variables
    }
}

impl Layout {
    /// Buckets of `bytes` (or one variable, if that is larger) in the order in
    /// which backward delivers variables of these sizes.
    pub(crate) fn new(order: &[usize], sizes: &[usize], bytes: usize) -> Self {
        let most = (bytes / size_of::<f32>()).max(1);
        let mut layout = Self { places: vec![(0, 0, 0); sizes.len()], buckets: Vec::new() };
        for &variable in order {
            let size = sizes[variable];
            match layout.buckets.last() {
                Some(last) if last.numbers + size <= most => {}
                _ => layout.buckets.push(Bucket::default()),
            }
            let at = layout.buckets.len() - 1;
            let bucket = &mut layout.buckets[at];
            layout.places[variable] = (at, bucket.numbers, bucket.variables);
            bucket.numbers += size;
            bucket.variables += 1;
        }
        layout
    }

    /// How many buckets there are.
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }

    pub(crate) fn length(&self, bucket: usize) -> usize {
        self.buckets[bucket].length()
    }

    /// The gradient of a variable in the summed buckets; none if it got none
    /// in any shard.
    pub(crate) fn read<'a>(
        &self,
        variable: usize,
        size: usize,
        sums: &'a [Vec<f32>],
    ) -> Option<&'a [f32]> {
        let (bucket, start, place) = self.places[variable];
        let sum = sums.get(bucket)?;
        let got = sum[self.buckets[bucket].numbers + place];
        // NaN counts: a rank's numbers may be beyond saving, but they are there.
        (got != 0.0).then(|| &sum[start..start + size])
    }
}

/// A bucket of this rank that is ready to be summed with the others'.
pub(crate) type Ready = (usize, Vec<Node>);

/// Sums the shards of this rank, bucket by bucket, and sends each bucket on
/// when the last shard has filled it, in the order of the layout.
pub(crate) struct Filler<'a> {
    layout: &'a Layout,
    last: usize,
    trees: Vec<Tree>,
    filling: Vec<Filling>,
    /// Buckets that were sent, or wait for one before them.
    full: Vec<Option<Vec<Node>>>,
    next: usize,
    out: Sender<Ready>,
}

#[derive(Clone, Debug, Default)]
struct Filling {
    numbers: Vec<f32>,
    missing: usize,
}

impl<'a> Filler<'a> {
    pub(crate) fn new(layout: &'a Layout, plan: &Plan, out: Sender<Ready>) -> Self {
        let count = layout.len();
        Self {
            layout,
            last: plan.own().end - 1,
            trees: vec![Tree::new(plan.shards()); count],
            filling: vec![Filling::default(); count],
            full: vec![None; count],
            next: 0,
            out,
        }
    }

    /// A shard begins.
    pub(crate) fn begin(&mut self) {
        for (filling, bucket) in self.filling.iter_mut().zip(&self.layout.buckets) {
            filling.numbers = vec![0.0; bucket.length()];
            filling.missing = bucket.variables;
        }
    }

    /// A gradient of this shard, which counts with `weight`.
    pub(crate) fn deliver(
        &mut self,
        shard: usize,
        variable: usize,
        gradient: &Tensor,
        weight: f32,
    ) {
        let (at, start, place) = self.layout.places[variable];
        let filling = &mut self.filling[at];
        let gradient = gradient.contiguous();
        let from = gradient.value().as_slice().unwrap_or(&[]);
        for (into, x) in filling.numbers[start..].iter_mut().zip(from) {
            *into += x * weight;
        }
        filling.numbers[self.layout.buckets[at].numbers + place] = 1.0;
        filling.missing = filling.missing.saturating_sub(1);
        if filling.missing == 0 {
            self.close(shard, at);
        }
    }

    /// A shard ends: what was not delivered does not come.
    pub(crate) fn end(&mut self, shard: usize) {
        for at in 0..self.filling.len() {
            if self.filling[at].missing > 0 {
                self.filling[at].missing = 0;
                self.close(shard, at);
            }
        }
    }

    /// A shard without samples.
    pub(crate) fn skip(&mut self, shard: usize) {
        for at in 0..self.trees.len() {
            self.push(shard, at, None);
        }
    }

    fn close(&mut self, shard: usize, at: usize) {
        let numbers = std::mem::take(&mut self.filling[at].numbers);
        self.push(shard, at, Some(numbers));
    }

    fn push(&mut self, shard: usize, at: usize, numbers: Option<Vec<f32>>) {
        self.trees[at].push_leaf(shard, numbers);
        if shard < self.last {
            return;
        }
        let tree = std::mem::replace(&mut self.trees[at], Tree::new(0));
        self.full[at] = Some(tree.into_nodes());
        while let Some(nodes) = self.full.get_mut(self.next).and_then(Option::take) {
            // Without a receiver the sum has failed, and says so itself.
            let _ = self.out.send((self.next, nodes));
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reduction, Solo};
    use std::sync::mpsc::channel;

    #[test]
    fn buckets_hold_what_fits_in_the_order_of_delivery() {
        // 10 numbers a bucket.
        let layout = Layout::new(&[3, 2, 1, 0], &[4, 25, 3, 6], 40);
        assert_eq!(layout.places, [(2, 0, 0), (1, 0, 0), (0, 6, 1), (0, 0, 0)]);
        assert_eq!((0..3).map(|b| layout.length(b)).collect::<Vec<_>>(), [11, 26, 5]);
    }

    #[test]
    fn a_bucket_leaves_with_its_last_variable_in_the_last_shard_and_in_order() {
        let layout = Layout::new(&[2, 1, 0], &[1, 1, 1], 4);
        let plan = Plan::new(&Solo, Reduction::Deterministic { shards: 2 }).unwrap();
        let (out, sent) = channel();
        let mut filler = Filler::new(&layout, &plan, out);
        let one = Tensor::from_slice(&[3.0], 1).unwrap();
        filler.begin();
        for variable in [2, 1, 0] {
            filler.deliver(0, variable, &one, 0.5);
        }
        filler.end(0);
        assert!(sent.try_recv().is_err());
        filler.begin();
        // Variable 1 came too early and waits for 2.
        filler.deliver(1, 1, &one, 1.0);
        assert!(sent.try_recv().is_err());
        filler.deliver(1, 2, &one, 1.0);
        assert_eq!(sent.try_recv().unwrap().0, 0);
        assert_eq!(sent.try_recv().unwrap().0, 1);
        filler.end(1);
        let (bucket, nodes) = sent.try_recv().unwrap();
        // Variable 0 had a gradient in the first shard alone.
        assert_eq!((bucket, nodes[0].sum.clone()), (2, Some(vec![1.5, 1.0])));
        let sums = [vec![4.5, 2.0], vec![4.5, 2.0], vec![1.5, 0.0]];
        assert_eq!(layout.read(2, 1, &sums), Some(&[4.5][..]));
        assert_eq!(layout.read(0, 1, &sums), None);
    }
}
