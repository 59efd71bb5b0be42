//! Classes that are made of others, by mirrors and quarter turns.

use crate::Result;
use tl_nn::Tensor;

/// A class of an episode: one of the data, as in a mirror or not, then turned by
/// quarter turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) label: usize,
    pub(super) mirrored: bool,
    pub(super) turns: usize,
}

impl Class {
    /// Images of the label as this class has them: mirrored, then turned
    /// anticlockwise.
    pub(super) fn seen(self, images: &Tensor) -> Result<Tensor> {
        let images = if self.mirrored { images.flip(-1)? } else { images.clone() };
        Ok(match self.turns {
            1 => images.transpose(-2, -1)?.flip(-2)?,
            2 => images.flip([-2, -1])?,
            3 => images.transpose(-2, -1)?.flip(-1)?,
            _ => images,
        })
    }

    /// A name for it, from that of the label.
    pub(super) fn named(self, mut name: String) -> String {
        if self.mirrored {
            name += ", mirrored";
        }
        match self.turns {
            0 => name,
            turns => format!("{name}, turned by {}°", 90 * turns),
        }
    }
}
