//! Views of rows of a table.

use crate::{Error, Result};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tl_data::transform::Transform;
use tl_nn::Tensor;

/// Which features are one column of the table: a category is spread over several
/// features of 0 or 1, which have to change together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns(Vec<Range<usize>>);

impl Columns {
    /// Every feature is a column.
    pub fn numbers(features: usize) -> Self {
        Self((0..features).map(|i| i..i + 1).collect())
    }

    /// Neighbours whose names agree up to a `=` are the categories of one
    /// column, as the reader of CSV tables names them (`colour=blue`,
    /// `colour=red`).
    ///
    /// ```
    /// use tl_ssl::Columns;
    /// let columns = Columns::of_names(&["size", "colour=blue", "colour=red"]);
    /// assert_eq!(columns.len(), 2);
    /// ```
    pub fn of_names<S: AsRef<str>>(names: &[S]) -> Self {
        let column = |i: usize| names[i].as_ref().split_once('=').map(|(column, _)| column);
        let mut all: Vec<Range<usize>> = Vec::new();
        for i in 0..names.len() {
            match all.last_mut() {
                Some(last) if column(i).is_some() && column(i) == column(i - 1) => last.end = i + 1,
                _ => all.push(i..i + 1),
            }
        }
        Self(all)
    }

    /// How many columns.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The features of each column, in order.
    pub fn iter(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.0.iter().cloned()
    }

    /// How many features all columns have.
    pub fn features(&self) -> usize {
        self.0.last().map_or(0, |last| last.end)
    }
}

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
    /// The corrupted rows `[n, d]` and which columns were replaced (1), `[n,
    /// columns]`, as VIME (Yoon et al. 2020) predicts them.
    ///
    /// # Errors
    /// Rows that are no matrix with these columns; a part not in 0 to 1.
    pub fn corrupt(
        &self,
        rows: &Tensor,
        columns: &Columns,
        rng: &mut ChaCha8Rng,
    ) -> Result<(Tensor, Tensor)> {
        let (n, d) = match rows.dims() {
            &[n, d] if n > 0 && d == columns.features() => (n, d),
            other => {
                let got = format!("{other:?}");
                let expected = format!("[n, {}], the columns' features", columns.features());
                return Err(Error::argument("swap columns", "rows", got, expected));
            }
        };
        if !(0.0..=1.0).contains(&self.part) {
            return Err(Error::argument("swap columns", "part", self.part, "0 to 1"));
        }
        let from = rows.to_vec();
        let (mut to, mut mask) = (from.clone(), vec![0.0_f32; n * columns.len()]);
        let count = (self.part * columns.len() as f64).round() as usize;
        for row in 0..n {
            for column in rand::seq::index::sample(rng, columns.len(), count) {
                let Range { start, end } = columns.0[column];
                let other = rng.random_range(0..n) * d;
                to[row * d + start..row * d + end]
                    .copy_from_slice(&from[other + start..other + end]);
                mask[row * columns.len() + column] = 1.0;
            }
        }
        Ok((Tensor::from_vec(to, [n, d])?, Tensor::from_vec(mask, [n, columns.len()])?))
    }
}

/// Every feature as a column of its own; see [`corrupt`](SwapColumns::corrupt)
/// for categories.
impl Transform for SwapColumns {
    fn apply(&self, features: &Tensor, rng: &mut ChaCha8Rng) -> tl_data::Result<Tensor> {
        let columns = Columns::numbers(features.dims().last().copied().unwrap_or(0));
        self.corrupt(features, &columns, rng).map(|(rows, _)| rows).map_err(|_| {
            tl_data::Error::Shape {
                op: "swap columns",
                got: features.dims().to_vec(),
                expected: "rows [n, d] and a part in 0 to 1".to_owned(),
            }
        })
    }
}
