//! Views of rows of a table.

use crate::{Error, Result};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, ops::Range};
use tl_data::{Dataset, transform::Transform};
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

    /// By names, if there is one for each of `features`; else all numbers.
    pub(crate) fn of_table<S: AsRef<str>>(names: &[S], features: usize) -> Self {
        if names.len() == features { Self::of_names(names) } else { Self::numbers(features) }
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
    /// The rows `[n, d]`, with values of other rows of them, and which columns were replaced (1), `[n,
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
        self.swap(rows, rows, columns, rng)
    }

    /// Values come from `table` `[m, d]`.
    fn swap(
        &self,
        rows: &Tensor,
        table: &Tensor,
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
        let others = table.dims()[0];
        let from: Cow<'_, [f32]> =
            table.value().as_slice().map_or_else(|| table.to_vec().into(), Into::into);
        let (mut to, mut mask) = (rows.to_vec(), vec![0.0_f32; n * columns.len()]);
        let count = (self.part * columns.len() as f64).round() as usize;
        for row in 0..n {
            for column in rand::seq::index::sample(rng, columns.len(), count) {
                let Range { start, end } = columns.0[column];
                let other = rng.random_range(0..others) * d;
                to[row * d + start..row * d + end]
                    .copy_from_slice(&from[other + start..other + end]);
                mask[row * columns.len() + column] = 1.0;
            }
        }
        Ok((Tensor::from_vec(to, [n, d])?, Tensor::from_vec(mask, [n, columns.len()])?))
    }
}

/// Every feature as a column of its own, values from the batch; see [`Scarf`]
/// for categories and for values of the whole table.
impl Transform for SwapColumns {
    fn apply(&self, features: &Tensor, rng: &mut ChaCha8Rng) -> tl_data::Result<Tensor> {
        let columns = Columns::numbers(features.dims().last().copied().unwrap_or(0));
        self.swap(features, features, &columns, rng).map(|(rows, _)| rows).map_err(to_data)
    }
}

fn to_data(error: Error) -> tl_data::Error {
    match error {
        Error::Data(error) => error,
        other => {
            let expected = format!("rows [n, d] that fit: {other}");
            tl_data::Error::Shape { op: "swap columns", got: Vec::new(), expected }
        }
    }
}

/// SCARF's view of the rows of a table (Bahri et al. 2022, algorithm 1): a part
/// of the columns of each row gets values of the same columns of other rows of
/// the *whole table*, the paper's empirical marginals. A category changes as a
/// whole. Compare it with the row as it is: `Views::pair(&Same, &scarf)`, under
/// [`Method::scarf`](crate::Method::scarf).
///
/// ```
/// # use rand::SeedableRng;
/// use tl_data::samples;
/// use tl_nn::{Act, Linear, Sequential};
/// use tl_ssl::{Method, Pretrain, Same, Scarf, Views};
/// # fn main() -> tl_ssl::Result<()> {
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let (zoo, _) = samples::zoo();
/// let width = zoo.sample_shape()[0];
/// let mut encoder = Sequential::new().push(Linear::new(width, 16, &mut rng)).push(Act::Relu);
/// let scarf = Scarf::new(&zoo)?;
/// let run = Pretrain::new(Method::scarf()).epochs(3).batch(32);
/// run.fit(&mut encoder, &zoo, Views::pair(&Same, &scarf))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Scarf {
    swap: SwapColumns,
    columns: Columns,
    table: Tensor,
}

impl Scarf {
    /// Values and columns of a table; columns by the names of its features
    /// ([`Columns::of_names`]), if it has any. The paper's 0.6.
    ///
    /// # Errors
    /// A set that is empty or no table.
    pub fn new(data: &Dataset) -> Result<Self> {
        let &[width] = data.sample_shape() else {
            let got = format!("samples {:?}", data.sample_shape());
            return Err(Error::argument("scarf", "data", got, "rows of a table, [n, d]"));
        };
        if data.is_empty() {
            return Err(Error::argument("scarf", "data", "no row", "one row or more"));
        }
        let columns = Columns::of_table(data.feature_names(), width);
        Ok(Self { swap: SwapColumns::default(), columns, table: data.features().detach() })
    }

    /// Sets the part of the columns that change.
    #[must_use]
    pub fn part(mut self, part: f64) -> Self {
        self.swap.part = part;
        self
    }
}

impl Transform for Scarf {
    fn apply(&self, features: &Tensor, rng: &mut ChaCha8Rng) -> tl_data::Result<Tensor> {
        let swapped = self.swap.swap(features, &self.table, &self.columns, rng);
        swapped.map(|(rows, _)| rows).map_err(to_data)
    }
}
