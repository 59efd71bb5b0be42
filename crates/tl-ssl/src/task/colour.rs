//! Which colours has a grey picture?

use super::{Heads, Net, Sizes, Task, mlp};
use crate::{Error, Result, Views};
use rand::RngCore;
use tl_data::Batch;
use tl_nn::{Ctx, Forward, Losses, Reduction, Tensor, loss::mse};

/// The shares of red, green and blue in the luma (ITU-R BT.601).
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// The encoder sees the luma three times, the decoder finds two differences of
/// colour at each pixel.
pub(crate) struct Colour;

/// The luma `[n, 1, h, w]` and the differences of blue and red from it,
/// `[n, 2, h, w]`, scaled to -0.5 to 0.5 (Cb and Cr).
fn split(x: &Tensor) -> tl_nn::Result<(Tensor, Tensor)> {
    let channel = |c: usize| x.narrow(1, c, 1);
    let mut luma = channel(0)?.mul_scalar(LUMA[0]);
    for (c, share) in LUMA.iter().enumerate().skip(1) {
        luma = luma.add(&channel(c)?.mul_scalar(*share))?;
    }
    let apart = |c: usize| -> tl_nn::Result<Tensor> {
        Ok(channel(c)?.sub(&luma)?.mul_scalar(0.5 / (1.0 - LUMA[c])))
    };
    let (blue, red) = (apart(2)?, apart(0)?);
    Ok((luma, Tensor::cat(&[&blue, &red], 1)?))
}

impl<M: Forward> Task<M> for Colour {
    fn heads(&mut self, sizes: &Sizes<'_>, rng: &mut dyn RngCore) -> Result<Heads> {
        let &[3, h, w] = sizes.sample else {
            let got = format!("samples {:?}", sizes.sample);
            return Err(Error::argument("colour", "data", got, "colour pictures [3, h, w]"));
        };
        let decoder = Some(mlp(sizes.features, sizes.width, 2 * h * w, rng));
        Ok(Heads { decoder, ..Heads::default() })
    }

    fn loss(
        &mut self,
        net: &Net<M>,
        batch: &Batch,
        views: &Views<'_>,
        cx: &mut Ctx,
    ) -> tl_nn::Result<Losses> {
        let (luma, colours) = split(&views.one(&batch.features, cx)?)?;
        let grey = Tensor::cat(&[&luma, &luma, &luma], 1)?;
        let found = net.decode(&grey, cx)?.reshape(*colours.shape())?;
        Ok(Losses::new(mse(&found, &colours, Reduction::Mean)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_told_from_grey() {
        // Grey, pure red, pure blue.
        let x = vec![0.4, 1.0, 0.0, 0.4, 0.0, 0.0, 0.4, 0.0, 1.0];
        let (luma, colours) = split(&Tensor::from_vec(x, [1, 3, 1, 3]).unwrap()).unwrap();
        let close = |got: Vec<f32>, want: &[f32]| {
            got.iter().zip(want).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{got:?}"));
        };
        close(luma.to_vec(), &[0.4, 0.299, 0.114]);
        close(colours.to_vec(), &[0.0, -0.168_736, 0.5, 0.0, 0.5, -0.081_312]);
    }
}
