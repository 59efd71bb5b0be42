//! Seen classes keep their own samples when others are generated.

use crate::{Result, Seen};
use tl_data::split::by_class;
use tl_nn::Tensor;

/// The samples of every seen class, found by the bits of its signature.
#[derive(Clone, Debug)]
pub(crate) struct RealClasses(Vec<(Vec<u32>, Tensor)>);

impl RealClasses {
    /// `x` `[n, d]`: the samples of `seen` in the space that they are kept in.
    pub(crate) fn of(seen: &Seen, x: &Tensor) -> Result<Self> {
        let table = seen.signatures().table();
        let classes = by_class(seen.labels(), seen.classes())?;
        let own = classes.iter().enumerate().map(|(class, rows)| {
            let key = bits(&table.narrow(0, class, 1)?);
            Ok((key, x.index_select(0, &rows[..].into())?))
        });
        Ok(Self(own.collect::<Result<_>>()?))
    }

    /// Those of the class with this signature, if it was seen.
    pub(crate) fn find(&self, signature: &Tensor) -> Option<&Tensor> {
        let key = bits(signature);
        self.0.iter().find(|(of, _)| *of == key).map(|(_, own)| own)
    }
}

fn bits(signature: &Tensor) -> Vec<u32> {
    signature.to_vec().into_iter().map(f32::to_bits).collect()
}
