//! Layers that drop at random in training and pass in evaluation.

use crate::{Ctx, Forward, Result, module};
use tl_tensor::Tensor;

macro_rules! dropping {
    ($($(#[$doc:meta])* $Name:ident |$x:ident, $p:ident, $rng:ident| $f:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq)]
            pub struct $Name {
                /// The probability to be dropped, from 0 to 1.
                pub p: f64,
            }
            module!($Name { ; skip p });

            impl $Name {
                /// A layer that drops with this probability.
                pub fn new(p: f64) -> Self {
                    Self { p }
                }
            }

            impl Forward for $Name {
                fn forward(&self, $x: &Tensor, cx: &mut Ctx) -> Result<Tensor> {
                    if !cx.is_train() {
                        return Ok($x.clone());
                    }
                    let ($p, $rng) = (self.p, cx.rng());
                    Ok($f?)
                }
            }
        )*
    };
}

dropping! {
    /// Each element is dropped by itself; see [`Tensor::dropout`].
    Dropout |x, p, rng| x.dropout(p, rng);
    /// Whole channels of `[n, c, ..]` are dropped; see [`Tensor::dropout_blocks`].
    Dropout2d |x, p, rng| x.dropout_blocks(2, p, rng);
    /// Whole samples are dropped: stochastic depth of a residual branch
    /// (Huang et al. 2016).
    DropPath |x, p, rng| x.dropout_blocks(1, p, rng);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluation_passes_and_equal_seeds_drop_equally() {
        let x = Tensor::ones([4, 50]);
        let layer = Dropout::new(0.5);
        assert_eq!(layer.forward(&x, &mut Ctx::eval()).unwrap().to_vec(), x.to_vec());
        let run = |seed| layer.forward(&x, &mut Ctx::train(seed)).unwrap().to_vec();
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        assert!(Dropout::new(2.0).forward(&x, &mut Ctx::train(0)).is_err());
    }
}
