//! Pictures as patches, some of them hidden.

use crate::{Error, Result};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_nn::Indices;
use tl_tensor::{Elem, Tensor};

/// Pictures `[n, c, h, w]` as patches `[n, l, patch² c]`: row by row, the numbers
/// of a patch row by row with channels last (He et al. 2022, the authors'
/// `patchify`).
///
/// ```
/// use tl_nn::Tensor;
/// let x = Tensor::arange(0.0, 16.0, 1.0)?.reshape([1, 1, 4, 4])?;
/// let patches = tl_ssl::patchify(&x, 2)?;
/// assert_eq!(patches.dims(), [1, 4, 4]);
/// assert_eq!(patches.to_vec()[4..8], [2.0, 3.0, 6.0, 7.0]);
/// # Ok::<(), tl_ssl::Error>(())
/// ```
///
/// # Errors
/// No pictures whose sides are multiples of `patch`.
pub fn patchify<E: Elem>(x: &Tensor<E>, patch: usize) -> Result<Tensor<E>> {
    let [n, c, h, w] = pictures("patchify", x, patch)?;
    let (rows, columns) = (h / patch, w / patch);
    let x = x.reshape([n, c, rows, patch, columns, patch])?.permute(&[0, 2, 4, 3, 5, 1])?;
    Ok(x.reshape([n, rows * columns, patch * patch * c])?)
}

fn pictures<E: Elem>(op: &'static str, x: &Tensor<E>, patch: usize) -> Result<[usize; 4]> {
    match *x.dims() {
        [n, c, h, w] if patch > 0 && h % patch == 0 && w % patch == 0 && n * c * h * w > 0 => {
            Ok([n, c, h, w])
        }
        _ => {
            let got = format!("{:?} for patches of {patch}", x.dims());
            let expected =
                "pictures [n, c, h, w] whose height and width are multiples of the patch";
            Err(Error::argument(op, "x", got, expected))
        }
    }
}

/// Hides a part of the patches of every picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HidePatches {
    /// The side of a patch in pixels.
    pub patch: usize,
    /// The part that is hidden; MAE (He et al. 2022) has 0.75.
    pub part: f64,
}

impl HidePatches {
    /// How many of `patches` stay: `⌊l (1 - part)⌋`, as in the authors' code.
    ///
    /// # Errors
    /// A part that leaves nothing, or hides nothing.
    pub fn visible(&self, patches: usize) -> Result<usize> {
        let visible = (patches as f64 * (1.0 - self.part)).floor() as usize;
        if visible > 0 && visible < patches {
            return Ok(visible);
        }
        let got = format!("{} of {patches} patches", self.part);
        let expected = "a part that hides one patch or more, and not all";
        Err(Error::argument("hide patches", "part", got, expected))
    }

    /// A random order of the patches of each of `n` pictures, `[n, l]`: those
    /// that stay are first.
    pub fn order(&self, n: usize, patches: usize, rng: &mut ChaCha8Rng) -> Result<Indices> {
        let all: Vec<usize> = (0..n)
            .flat_map(|_| rand::seq::index::sample(rng, patches, patches).into_vec())
            .collect();
        Ok(Indices::from_vec(all, [n, patches])?)
    }

    /// Pictures `[n, c, h, w]` with the hidden pixels at 0, and the mask of
    /// those, `[n, 1, h, w]`, 1 where hidden. For encoders that want whole
    /// pictures.
    ///
    /// # Errors
    /// Pictures that patches do not fill; a part that hides all or nothing.
    pub fn blank(&self, x: &Tensor, rng: &mut ChaCha8Rng) -> Result<(Tensor, Tensor)> {
        let [n, _, h, w] = pictures("hide patches", x, self.patch)?;
        let (rows, columns) = (h / self.patch, w / self.patch);
        let visible = self.visible(rows * columns)?;
        let order = self.order(n, rows * columns, rng)?;
        let mut mask = vec![0.0_f32; n * rows * columns];
        for (i, order) in order.as_slice().chunks(rows * columns).enumerate() {
            for hidden in &order[visible..] {
                mask[i * rows * columns + hidden] = 1.0;
            }
        }
        let mask = Tensor::from_vec(mask, [n, 1, rows, 1, columns, 1])?;
        let mask = mask
            .broadcast_to([n, 1, rows, self.patch, columns, self.patch])?
            .reshape([n, 1, h, w])?;
        Ok((x.mul(&mask.neg().add_scalar(1.0))?, mask))
    }
}
