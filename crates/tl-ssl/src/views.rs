//! How many views of a sample there are, and how they are made.

use crate::{Error, Result};
use std::fmt;
use tl_data::transform::Transform;
use tl_nn::{Ctx, Tensor};

/// The views of a batch: `count` whole ones (2 unless told), and perhaps some
/// local ones, crops that see only a part (multi-crop, Caron et al. 2020). A
/// single transform stands for two views of it.
///
/// ```
/// use tl_data::transform::{Compose, RandomCrop, RandomFlip};
/// use tl_ssl::Views;
/// let (whole, part) = (RandomFlip::horizontal(), RandomCrop::new(16, 16));
/// let views = Views::of(&whole).local(&part, 4);
/// # let _ = views;
/// ```
#[derive(Clone, Copy)]
pub struct Views<'a> {
    whole: &'a dyn Transform,
    /// Of the views after the first, if they are made another way.
    other: Option<&'a dyn Transform>,
    count: usize,
    local: Option<(&'a dyn Transform, usize)>,
}

impl<'a> Views<'a> {
    /// Two views by one transform.
    pub fn of(transform: &'a dyn Transform) -> Self {
        Self { whole: transform, other: None, count: 2, local: None }
    }

    /// Two views, each by a transform of its own: SCARF compares a row as it is
    /// ([`Same`](crate::Same)) with a corrupted one, BYOL has two recipes. Methods
    /// that need one view take the first.
    pub fn pair(first: &'a dyn Transform, second: &'a dyn Transform) -> Self {
        Self { other: Some(second), ..Self::of(first) }
    }

    /// Sets how many whole views there are; 2 or more.
    #[must_use]
    pub fn count(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// Adds local views. Their size may differ from that of the whole ones if
    /// the encoder takes pictures of any size.
    #[must_use]
    pub fn local(mut self, transform: &'a dyn Transform, count: usize) -> Self {
        self.local = Some((transform, count));
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.count >= 2 {
            return Ok(());
        }
        Err(Error::argument("views", "count", self.count, "two whole views or more"))
    }

    /// The first view.
    pub(crate) fn one(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Tensor> {
        self.whole.apply(x, &mut cx.fork_rng()).map_err(tl_nn::Error::other)
    }

    /// The whole views.
    pub(crate) fn whole(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Vec<Tensor>> {
        let make = |i: usize| {
            let transform = self.other.filter(|_| i > 0).unwrap_or(self.whole);
            transform.apply(x, &mut cx.fork_rng()).map_err(tl_nn::Error::other)
        };
        (0..self.count).map(make).collect()
    }

    /// The local views.
    pub(crate) fn locals(&self, x: &Tensor, cx: &mut Ctx) -> tl_nn::Result<Vec<Tensor>> {
        let Some((transform, count)) = self.local else { return Ok(Vec::new()) };
        let one = |_| transform.apply(x, &mut cx.fork_rng()).map_err(tl_nn::Error::other);
        (0..count).map(one).collect()
    }
}

impl<'a, T: Transform> From<&'a T> for Views<'a> {
    fn from(transform: &'a T) -> Self {
        Self::of(transform)
    }
}

impl fmt::Debug for Views<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Views")
            .field("count", &self.count)
            .field("local", &self.local.map(|(_, count)| count))
            .finish_non_exhaustive()
    }
}
