//! Pooling layers.

use crate::{Ctx, Forward, Result, module};
use tl_tensor::{Pool, Tensor};

macro_rules! pooling {
    ($($(#[$doc:meta])* $Name:ident($field:ident: $Kind:ty, $what:literal) |$x:ident, $p:ident| $f:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq)]
            pub struct $Name {
                #[doc = $what]
                pub $field: $Kind,
            }
            module!($Name { ; skip $field });

            impl $Name {
                /// A layer with these options.
                pub fn new($field: $Kind) -> Self {
                    Self { $field }
                }
            }

            impl Forward for $Name {
                fn forward(&self, $x: &Tensor, _: &mut Ctx) -> Result<Tensor> {
                    let $p = self.$field;
                    Ok($f?)
                }
            }
        )*
    };
}

pooling! {
    /// The largest of each window; see [`Tensor::max_pool2d`].
    MaxPool2d(pool: Pool, "Window, stride and padding.") |x, p| x.max_pool2d(p);
    /// The mean of each window; see [`Tensor::avg_pool2d`].
    AvgPool2d(pool: Pool, "Window, stride and padding.") |x, p| x.avg_pool2d(p);
    /// The means of windows that cover an image; see [`Tensor::adaptive_avg_pool2d`].
    AdaptiveAvgPool2d(size: [usize; 2], "Height and width of the output.") |x, p| x.adaptive_avg_pool2d(p);
}

/// The mean over all places of an image: `[n, c, h, w]` becomes `[n, c]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GlobalAvgPool;
impl crate::Module for GlobalAvgPool {
    fn visit<'a>(&'a self, _: &mut dyn crate::Visit<'a>) {}
    fn visit_mut(&mut self, _: &mut dyn crate::VisitMut) {}
}

impl Forward for GlobalAvgPool {
    fn forward(&self, x: &Tensor, _: &mut Ctx) -> Result<Tensor> {
        Ok(x.mean([2, 3], false)?)
    }
}
