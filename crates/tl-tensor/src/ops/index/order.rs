//! Sorting and the largest elements.

use super::Blocks;
use crate::{Elem, Error, Indices, Result, Tensor};
use std::cmp::Ordering;

/// Ascending with NaN last, so that it is a total order.
fn ascending<E: Elem>(a: E, b: E) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

impl<E: Elem> Tensor<E> {
    /// The first `keep` places of each line along `axis` when it is sorted.
    fn order(&self, axis: usize, descending: bool, keep: usize) -> Result<Indices> {
        let Blocks { outer, size, inner } = Blocks::new(self.shape(), axis);
        let data = self.to_vec();
        let mut found = vec![0; outer * keep * inner];
        let mut line: Vec<usize> = Vec::with_capacity(size);
        for o in 0..outer {
            for i in 0..inner {
                let at = |k: usize| data[(o * size + k) * inner + i];
                line.clear();
                line.extend(0..size);
                let compare = |&a: &usize, &b: &usize| {
                    let order = ascending(at(a), at(b));
                    if descending { order.reverse() } else { order }.then(a.cmp(&b))
                };
                if keep < size && keep > 0 {
                    line.select_nth_unstable_by(keep - 1, compare);
                    line.truncate(keep);
                }
                line.sort_unstable_by(compare);
                for (k, &place) in line.iter().take(keep).enumerate() {
                    found[(o * keep + k) * inner + i] = place;
                }
            }
        }
        Indices::from_vec(found, self.shape().with(axis, keep))
    }

    /// The places that would sort each line along `axis`. Stable: equal
    /// elements keep their order. NaN counts as larger than all numbers.
    ///
    /// # Errors
    /// The axis is outside of the shape.
    pub fn argsort(&self, axis: isize, descending: bool) -> Result<Indices> {
        let at = self.shape().axis("argsort", axis)?;
        self.order(at, descending, self.dims()[at])
    }

    /// Each line along `axis` in order, and the places the elements came from.
    /// Stable; NaN counts as larger than all numbers, as in PyTorch.
    ///
    /// # Errors
    /// The axis is outside of the shape.
    pub fn sort(&self, axis: isize, descending: bool) -> Result<(Self, Indices)> {
        let order = self.argsort(axis, descending)?;
        Ok((self.gather(axis, &order)?, order))
    }

    /// The `k` largest (or smallest) elements of each line along `axis`, best
    /// first, and their places. Of equal elements the first come first.
    ///
    /// # Errors
    /// The axis is outside of the shape, or shorter than `k`.
    pub fn topk(&self, k: usize, axis: isize, largest: bool) -> Result<(Self, Indices)> {
        let at = self.shape().axis("topk", axis)?;
        if k > self.dims()[at] {
            return Err(Error::argument(
                "topk",
                "k",
                k.to_string(),
                format!("at most {}, the size of axis {at}", self.dims()[at]),
            ));
        }
        let places = self.order(at, largest, k)?;
        Ok((self.gather(axis, &places)?, places))
    }
}

#[cfg(test)]
mod tests {
    use crate::{GradCheck, Tensor, gradcheck};

    #[test]
    fn lines_are_sorted_along_any_axis() {
        let x = Tensor::from_slice(&[3.0_f64, 1.0, 2.0, 9.0, 7.0, 8.0], [2, 3]).unwrap();
        let (y, places) = x.sort(1, false).unwrap();
        assert_eq!(y.to_vec(), [1.0, 2.0, 3.0, 7.0, 8.0, 9.0]);
        assert_eq!(places.as_slice(), [1, 2, 0, 1, 2, 0]);
        assert_eq!(x.sort(0, true).unwrap().0.to_vec(), [9.0, 7.0, 8.0, 3.0, 1.0, 2.0]);
        let (top, places) = x.topk(2, 1, true).unwrap();
        assert_eq!(
            (top.to_vec(), places.as_slice()),
            (vec![3.0, 2.0, 9.0, 8.0], &[0, 2, 0, 2][..])
        );
        assert!(x.topk(4, 1, true).is_err());
        gradcheck(|t| Ok(t[0].square().sort(1, true)?.0), &[x], GradCheck::default()).unwrap();
    }

    #[test]
    fn equal_elements_keep_their_order_and_nan_is_last() {
        let x = Tensor::from_slice(&[1.0_f32, f32::NAN, 1.0, 0.0], 4).unwrap();
        assert_eq!(x.argsort(0, false).unwrap().as_slice(), [3, 0, 2, 1]);
        assert_eq!(x.argsort(0, true).unwrap().as_slice(), [1, 0, 2, 3]);
    }
}
