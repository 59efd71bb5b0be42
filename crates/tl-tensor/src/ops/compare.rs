//! Comparisons: 1 where true, 0 where not. They are constants: no gradient
//! flows through a comparison.

use crate::{Axes, Elem, Result, Tensor, kernel::map};

macro_rules! comparison {
    ($($(#[$doc:meta])* $name:ident $scalar:ident $op:tt;)*) => {
        impl<E: Elem> Tensor<E> {
            $(
                $(#[$doc])*
                ///
                /// Broadcasts; the result is a constant.
                ///
                /// # Errors
                /// The shapes do not broadcast.
                pub fn $name(&self, other: &Self) -> Result<Self> {
                    map::binary(stringify!($name), &self.value, &other.value,
                        |x, y| if x $op y { E::ONE } else { E::ZERO }).map(Self::constant)
                }

                $(#[$doc])*
                ///
                /// With a number; the result is a constant.
                pub fn $scalar(&self, number: E) -> Self {
                    self.map_constant(move |x| if x $op number { E::ONE } else { E::ZERO })
                }
            )*
        }
    };
}

comparison! {
    /// 1 where equal, else 0.
    eq eq_scalar ==;
    /// 1 where different, else 0.
    ne ne_scalar !=;
    /// 1 where less, else 0.
    lt lt_scalar <;
    /// 1 where less or equal, else 0.
    le le_scalar <=;
    /// 1 where greater, else 0.
    gt gt_scalar >;
    /// 1 where greater or equal, else 0.
    ge ge_scalar >=;
}

impl<E: Elem> Tensor<E> {
    /// 1 where any element over `axes` is not 0, else 0; a constant.
    ///
    /// # Errors
    /// An axis is outside of the shape or named twice.
    pub fn any(&self, axes: impl Into<Axes>, keepdim: bool) -> Result<Self> {
        Ok(self.ne_scalar(E::ZERO).sum(axes, keepdim)?.ne_scalar(E::ZERO))
    }

    /// 1 where all elements over `axes` are not 0, else 0; a constant. All of
    /// no elements is 1.
    ///
    /// # Errors
    /// An axis is outside of the shape or named twice.
    pub fn all(&self, axes: impl Into<Axes>, keepdim: bool) -> Result<Self> {
        Ok(self.eq_scalar(E::ZERO).sum(axes, keepdim)?.eq_scalar(E::ZERO))
    }
}
