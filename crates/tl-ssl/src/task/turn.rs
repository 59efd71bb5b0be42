//! Pictures turned or shuffled: how?

use super::{Heads, Net, Sizes, Task, mlp};
use crate::{Error, Result, Views};
use rand::{Rng, RngCore};
use tl_data::Batch;
use tl_nn::{CrossEntropy, Ctx, Forward, Indices, Losses, Tensor};

fn classes(sizes: &Sizes<'_>, classes: usize, rng: &mut dyn RngCore) -> Heads {
    let decoder = Some(mlp(sizes.features, sizes.width, classes, rng));
    Heads { decoder, ..Heads::default() }
}

fn classify<M: Forward>(
    net: &Net<M>,
    x: &Tensor,
    labels: Vec<usize>,
    cx: &mut Ctx,
) -> tl_nn::Result<Losses> {
    let logits = net.decode(x, cx)?;
    Ok(Losses::new(CrossEntropy::new().loss(&logits, &labels.into())?))
}

/// All four turns of every picture.
pub(crate) struct Rotation;

impl<M: Forward> Task<M> for Rotation {
    fn heads(&mut self, sizes: &Sizes<'_>, rng: &mut dyn RngCore) -> Result<Heads> {
        match sizes.sample {
            &[_, h, w] if h == w => Ok(classes(sizes, 4, rng)),
            other => {
                let got = format!("samples {other:?}");
                Err(Error::argument("rotation", "data", got, "square pictures [c, h, h]"))
            }
        }
    }

    fn loss(
        &mut self,
        net: &Net<M>,
        batch: &Batch,
        views: &Views<'_>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        let x = views.one(&batch.features, cx)?;
        let side = x.transpose(2, 3)?;
        let turned = [x.clone(), side.flip(2)?, x.flip([2, 3])?, side.flip(3)?];
        let all: Vec<&Tensor> = turned.iter().collect();
        let n = x.dims()[0];
        let labels = (0..4 * n).map(|i| i / n).collect();
        classify(net, &Tensor::cat(&all, 0)?, labels, cx)
    }
}

/// Tiles of every picture in one of some orders.
pub(crate) struct Jigsaw {
    grid: usize,
    orders: Vec<Vec<usize>>,
}

impl Jigsaw {
    /// Orders that differ in many places: each next one is the farthest, of a
    /// number of candidates, from those chosen (Noroozi and Favaro 2016,
    /// algorithm 1).
    pub(crate) fn new(grid: usize, count: usize) -> Result<Self> {
        if !(2..=3).contains(&grid) || count < 2 || (grid == 2 && count > 24) || count > 1000 {
            let got = format!("a grid of {grid}, {count} orders");
            let expected = "a grid of 2 with 2 to 24 orders, or of 3 with 2 to 1000";
            return Err(Error::argument("jigsaw", "settings", got, expected));
        }
        let mut candidates = Vec::new();
        permutations(&mut (0..grid * grid).collect(), 0, &mut candidates);
        let first = candidates.swap_remove(0);
        // How far each candidate is from the nearest that was chosen.
        let mut far = vec![usize::MAX; candidates.len()];
        let mut orders = vec![first];
        while orders.len() < count {
            let last = &orders[orders.len() - 1];
            for (far, candidate) in far.iter_mut().zip(&candidates) {
                let differ = candidate.iter().zip(last).filter(|(a, b)| a != b).count();
                *far = (*far).min(differ);
            }
            let Some(best) = (0..far.len()).max_by_key(|&i| (far[i], far.len() - i)) else { break };
            far.swap_remove(best);
            orders.push(candidates.swap_remove(best));
        }
        Ok(Self { grid, orders })
    }
}

fn permutations(items: &mut Vec<usize>, from: usize, all: &mut Vec<Vec<usize>>) {
    if from == items.len() {
        all.push(items.clone());
        return;
    }
    for i in from..items.len() {
        items.swap(from, i);
        permutations(items, from + 1, all);
        items.swap(from, i);
    }
}

impl<M: Forward> Task<M> for Jigsaw {
    fn heads(&mut self, sizes: &Sizes<'_>, rng: &mut dyn RngCore) -> Result<Heads> {
        match sizes.sample {
            &[_, h, w] if h % self.grid == 0 && w % self.grid == 0 => {
                Ok(classes(sizes, self.orders.len(), rng))
            }
            other => {
                let got = format!("samples {other:?}");
                let expected = format!("pictures whose sides are multiples of {}", self.grid);
                Err(Error::argument("jigsaw", "data", got, expected))
            }
        }
    }

    fn loss(
        &mut self,
        net: &Net<M>,
        batch: &Batch,
        views: &Views<'_>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        let x = views.one(&batch.features, cx)?;
        let &[n, c, h, w] = x.dims() else { return Err(not_pictures(&x)) };
        let (grid, tiles) = (self.grid, self.grid * self.grid);
        let (th, tw) = (h / grid, w / grid);
        let rng = cx.rng();
        let labels: Vec<usize> = (0..n).map(|_| rng.random_range(0..self.orders.len())).collect();
        let from: Vec<usize> = labels
            .iter()
            .enumerate()
            .flat_map(|(i, order)| self.orders[*order].iter().map(move |tile| i * tiles + tile))
            .collect();
        let cut = x.reshape([n, c, grid, th, grid, tw])?.permute(&[0, 2, 4, 1, 3, 5])?;
        let cut = cut.reshape([n * tiles, c, th, tw])?;
        let mixed = cut.index_select(0, &Indices::from_vec(from, [n * tiles])?)?;
        let mixed = mixed.reshape([n, grid, grid, c, th, tw])?.permute(&[0, 3, 1, 4, 2, 5])?;
        classify(net, &mixed.reshape([n, c, h, w])?, labels, cx)
    }
}

fn not_pictures(x: &Tensor) -> tl_nn::Error {
    let got = format!("{:?}", x.dims());
    tl_nn::Error::argument("jigsaw", "views", got, "pictures [n, c, h, w]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_different_and_far() {
        let all = Jigsaw::new(2, 24).unwrap().orders;
        let set: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(set.len(), 24);
        let few = Jigsaw::new(3, 9).unwrap().orders;
        // Nine orders of nine tiles can differ in every place.
        for (i, a) in few.iter().enumerate() {
            for b in &few[..i] {
                assert_eq!(a.iter().zip(b).filter(|(a, b)| a != b).count(), 9);
            }
        }
        assert!(Jigsaw::new(2, 25).is_err() && Jigsaw::new(4, 2).is_err());
    }
}
