//! Padding.

use crate::{Elem, Error, Indices, Result, Tensor};

/// What stands in the places that padding adds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PadMode {
    /// This number.
    Constant(f64),
    /// The inside mirrored at the edge element, which is not repeated; at most
    /// one less than the size.
    Reflect,
    /// The edge element.
    Replicate,
    /// The other end; at most the size.
    Circular,
}

impl<E: Elem> Tensor<E> {
    /// This tensor with `before` places added before and `after` behind an axis.
    ///
    /// # Errors
    /// The axis is outside of the shape, or there is less inside than the mode
    /// repeats.
    pub fn pad(&self, axis: isize, before: usize, after: usize, mode: PadMode) -> Result<Self> {
        let at = self.shape().axis("pad", axis)?;
        let size = self.dims()[at];
        if before == 0 && after == 0 {
            return Ok(self.clone());
        }
        if let PadMode::Constant(number) = mode {
            let block = |n| Self::full(self.shape().with(at, n), E::from_f64(number));
            return Self::cat(&[&block(before), self, &block(after)], axis);
        }
        let most = match mode {
            PadMode::Reflect => size.saturating_sub(1),
            PadMode::Circular => size,
            _ if size == 0 => 0,
            _ => usize::MAX,
        };
        if before.max(after) > most {
            return Err(Error::argument(
                "pad",
                "padding",
                format!("{before} and {after}"),
                format!("at most {most} for {mode:?} on an axis of size {size}"),
            ));
        }
        let (n, before) = (size as isize, before as isize);
        let places = (-before..n + after as isize).map(|i| {
            let from = match mode {
                PadMode::Reflect if i < 0 => -i,
                PadMode::Reflect if i >= n => 2 * (n - 1) - i,
                PadMode::Circular => i.rem_euclid(n),
                _ => i.clamp(0, n - 1),
            };
            from as usize
        });
        self.index_select(axis, &Indices::from(places.collect::<Vec<_>>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GradCheck, gradgradcheck};

    #[test]
    fn modes_follow_pytorch() {
        let x = Tensor::from_slice(&[1.0_f64, 2.0, 3.0], 3).unwrap();
        let pad = |mode| x.pad(0, 2, 1, mode).unwrap().to_vec();
        assert_eq!(pad(PadMode::Constant(9.0)), [9.0, 9.0, 1.0, 2.0, 3.0, 9.0]);
        assert_eq!(pad(PadMode::Reflect), [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
        assert_eq!(pad(PadMode::Replicate), [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
        assert_eq!(pad(PadMode::Circular), [2.0, 3.0, 1.0, 2.0, 3.0, 1.0]);
        assert!(x.pad(0, 3, 0, PadMode::Reflect).is_err());
        assert!(Tensor::<f64>::zeros(0).pad(0, 1, 0, PadMode::Replicate).is_err());
        for mode in [PadMode::Constant(1.0), PadMode::Reflect, PadMode::Circular] {
            gradgradcheck(|t| t[0].square().pad(0, 2, 1, mode), &[x.clone()], GradCheck::default())
                .unwrap();
        }
    }
}
