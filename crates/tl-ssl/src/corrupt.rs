//! Views of rows of a table.

use crate::{Error, Result};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use tl_data::transform::Transform;
use tl_nn::Tensor;

/// SCARF's corruption (Bahri et al. 2022, algorithm 1): a random part of the
/// columns of every row is replaced by values of other rows of the *batch* in
/// the same column. The paper has 0.6.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwapColumns {
    /// The part of the columns.
    pub part: f64,
}

impl Default for SwapColumns {
    fn default() -> Self {
        Self { part: 0.6 }
    }
}

impl SwapColumns {
    /// The corrupted rows and which values were replaced (1), as VIME (Yoon et
    /// al. 2020) predicts them.
    ///
    /// # Errors
    /// Rows that are no matrix; a part not in 0 to 1.
    pub fn corrupt(&self, rows: &Tensor, rng: &mut ChaCha8Rng) -> Result<(Tensor, Tensor)> {
        let (n, d) = match rows.dims() {
            &[n, d] if n > 0 => (n, d),
            other => {
                return Err(Error::argument(
                    "swap columns",
                    "rows",
                    format!("{other:?}"),
                    "[n, d]",
                ));
            }
        };
        if !(0.0..=1.0).contains(&self.part) {
            return Err(Error::argument("swap columns", "part", self.part, "0 to 1"));
        }
        let from = rows.to_vec();
        let (mut to, mut mask) = (from.clone(), vec![0.0_f32; n * d]);
        let count = (self.part * d as f64).round() as usize;
        for row in 0..n {
            for column in rand::seq::index::sample(rng, d, count) {
                to[row * d + column] = from[rng.random_range(0..n) * d + column];
                mask[row * d + column] = 1.0;
            }
        }
        Ok((Tensor::from_vec(to, [n, d])?, Tensor::from_vec(mask, [n, d])?))
    }
}

impl Transform for SwapColumns {
    fn apply(&self, features: &Tensor, rng: &mut ChaCha8Rng) -> tl_data::Result<Tensor> {
        self.corrupt(features, rng).map(|(rows, _)| rows).map_err(|_| tl_data::Error::Shape {
            op: "swap columns",
            got: features.dims().to_vec(),
            expected: "rows [n, d] and a part in 0 to 1".to_owned(),
        })
    }
}
