//! Images of another size.

use crate::{Elem, Error, Indices, Result, Shape, Tensor};

impl<E: Elem> Tensor<E> {
    fn check_resize(&self, op: &'static str, size: [usize; 2]) -> Result<()> {
        let empty = self.rank() == 4 && (self.dims()[2] == 0 || self.dims()[3] == 0);
        if self.rank() != 4 || empty || size.contains(&0) {
            return Err(Error::shape(
                op,
                self.shape(),
                format!(
                    "images [n, c, h, w] that are not empty, and a size of at least 1 (got {size:?})"
                ),
            ));
        }
        Ok(())
    }

    /// Images `[n, c, h, w]` at another height and width, each place from the
    /// nearest one: PyTorch's mode `nearest`, place `⌊i · h / h'⌋`.
    ///
    /// # Errors
    /// Not four axes, or a size of 0.
    pub fn resize_nearest(&self, size: [usize; 2]) -> Result<Self> {
        self.check_resize("resize_nearest", size)?;
        let places = |from: usize, to: usize| -> Indices {
            (0..to).map(|i| i * from / to).collect::<Vec<_>>().into()
        };
        self.index_select(2, &places(self.dims()[2], size[0]))?
            .index_select(3, &places(self.dims()[3], size[1]))
    }

    /// Images `[n, c, h, w]` at another height and width by bilinear
    /// interpolation, as PyTorch: with `align_corners` the corner elements
    /// stay in the corners, without (the usual choice) elements are areas.
    ///
    /// # Errors
    /// Not four axes, or a size of 0.
    pub fn resize_bilinear(&self, size: [usize; 2], align_corners: bool) -> Result<Self> {
        self.check_resize("resize_bilinear", size)?;
        self.stretch(2, size[0], align_corners)?.stretch(3, size[1], align_corners)
    }

    /// Linear interpolation along one axis of four.
    fn stretch(&self, axis: usize, to: usize, align_corners: bool) -> Result<Self> {
        let from = self.dims()[axis];
        if from == to {
            return Ok(self.clone());
        }
        let (mut low, mut high, mut part) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..to {
            let place = if align_corners {
                i as f64 * (from - 1) as f64 / (to.max(2) - 1) as f64
            } else {
                ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0)
            };
            let first = (place.floor() as usize).min(from - 1);
            low.push(first);
            high.push((first + 1).min(from - 1));
            part.push(E::from_f64(place - first as f64));
        }
        let mut shape = [1; 4];
        shape[axis] = to;
        let part = Self::from_vec(part, Shape::from(shape))?;
        let axis = axis as isize;
        let low = self.index_select(axis, &low.into())?;
        low.lerp(&self.index_select(axis, &high.into())?, &part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GradCheck, gradgradcheck};

    #[test]
    fn known_values() {
        let x = Tensor::from_slice(&[0.0_f64, 1.0, 2.0, 3.0], [1, 1, 2, 2]).unwrap();
        let near = x.resize_nearest([4, 3]).unwrap().to_vec();
        assert_eq!(near[..6], [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
        let corners = x.resize_bilinear([3, 3], true).unwrap().to_vec();
        assert_eq!(corners, [0.0, 0.5, 1.0, 1.0, 1.5, 2.0, 2.0, 2.5, 3.0]);
        let areas = x.resize_bilinear([2, 4], false).unwrap().to_vec();
        assert_eq!(areas[..4], [0.0, 0.25, 0.75, 1.0]);
        assert!(x.resize_bilinear([0, 2], false).is_err());
        gradgradcheck(|t| t[0].square().resize_bilinear([3, 5], false), &[x], GradCheck::default())
            .unwrap();
    }
}
