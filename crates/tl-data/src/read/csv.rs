//! Tables of comma-separated values, plain or gzipped, with typed columns.

use super::{Limits, source};
use crate::{Dataset, Error, Result};
use std::{collections::BTreeSet, path::Path};
use tl_tensor::Tensor;

const FORMAT: &str = "CSV";

/// How a table is read.
///
/// ```
/// use tl_data::read::csv::{Csv, Missing};
///
/// # fn main() -> tl_data::Result<()> {
/// let text = "size,colour,kind\n1.5,red,a\n?,blue,b\n2.5,red,a\n";
/// let table = Csv::new().parse(text.as_bytes())?;
/// let data = table.dataset("kind", Missing::Mean)?;
/// assert_eq!(data.feature_names(), ["size", "colour=blue", "colour=red"]);
/// assert_eq!(data.features().to_vec(), [1.5, 0., 1., 2.0, 1., 0., 2.5, 0., 1.]);
/// assert_eq!(data.labels()?, [0, 1, 0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Csv {
    delimiter: u8,
    header: bool,
    missing: Vec<String>,
    categorical: Vec<String>,
    limits: Limits,
}

impl Default for Csv {
    fn default() -> Self {
        Self::new()
    }
}

impl Csv {
    /// Commas, a header, and the usual marks of missing values: an empty cell,
    /// `?`, `NA`, `N/A`, `NaN`, `null`.
    pub fn new() -> Self {
        Self {
            delimiter: b',',
            header: true,
            missing: ["", "?", "NA", "N/A", "NaN", "nan", "null"].map(str::to_owned).to_vec(),
            categorical: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// What separates cells.
    #[must_use]
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// The table has no header: columns are called `0`, `1`, ..
    #[must_use]
    pub fn without_header(mut self) -> Self {
        self.header = false;
        self
    }

    /// What stands for a missing value, instead of the usual marks.
    #[must_use]
    pub fn missing<S: Into<String>>(mut self, marks: impl IntoIterator<Item = S>) -> Self {
        self.missing = marks.into_iter().map(Into::into).collect();
        self
    }

    /// Columns that hold categories though they look like numbers.
    #[must_use]
    pub fn categorical<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.categorical = columns.into_iter().map(Into::into).collect();
        self
    }

    /// How much memory the text may take.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Reads a file, gzipped or not.
    ///
    /// # Errors
    /// A file that cannot be opened, is damaged or too large; rows of different
    /// lengths; two columns of one name; a categorical column that is not there.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Table> {
        let path = path.as_ref();
        source::open(path)
            .and_then(|file| self.table(&source::all(FORMAT, file, self.limits)?))
            .map_err(|e| e.at(path))
    }

    /// Reads the bytes of a file, gzipped or not.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(&self, bytes: &[u8]) -> Result<Table> {
        let bytes = source::all(FORMAT, source::inflate(bytes)?, self.limits)?;
        self.table(&bytes)
    }

    fn table(&self, bytes: &[u8]) -> Result<Table> {
        let malformed = |e: csv::Error| Error::malformed(FORMAT, e.to_string());
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(self.delimiter)
            .has_headers(self.header)
            .trim(csv::Trim::All)
            .from_reader(bytes);
        let first = reader.headers().map_err(malformed)?.clone();
        let names: Vec<String> = if self.header {
            first.iter().map(str::to_owned).collect()
        } else {
            (0..first.len()).map(|i| i.to_string()).collect()
        };
        if let Some(twice) = names.iter().enumerate().find(|(i, n)| names[..*i].contains(n)) {
            return Err(Error::malformed(FORMAT, format!("two columns are called `{}`", twice.1)));
        }
        for name in &self.categorical {
            if !names.contains(name) {
                return Err(Error::unknown("column", name, names.iter().map(String::as_str)));
            }
        }
        let mut cells: Vec<Vec<Option<String>>> = vec![Vec::new(); names.len()];
        for record in reader.records() {
            for (column, cell) in cells.iter_mut().zip(record.map_err(malformed)?.iter()) {
                let missing = self.missing.iter().any(|mark| mark == cell);
                column.push((!missing).then(|| cell.to_owned()));
            }
        }
        let rows = cells.first().map_or(0, Vec::len);
        let columns = names
            .into_iter()
            .zip(cells)
            .map(|(name, cells)| {
                let as_text = self.categorical.contains(&name);
                Column { values: Values::typed(cells, as_text), name }
            })
            .collect();
        Ok(Table { columns, rows })
    }
}

/// The content of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Finite numbers, where they are not missing.
    Numbers(Vec<Option<f64>>),
    /// Categories: an index into the names, which are sorted.
    Categories {
        /// The category of each row, where it is not missing.
        codes: Vec<Option<usize>>,
        /// The names.
        names: Vec<String>,
    },
}

impl Values {
    /// Numbers if every cell that is not missing is a finite one.
    fn typed(cells: Vec<Option<String>>, as_text: bool) -> Self {
        let number = |cell: &Option<String>| match cell {
            None => Some(None),
            Some(text) => text.parse::<f64>().ok().filter(|x| x.is_finite()).map(Some),
        };
        if !as_text && let Some(numbers) = cells.iter().map(number).collect() {
            return Self::Numbers(numbers);
        }
        let names: Vec<String> =
            cells.iter().flatten().collect::<BTreeSet<_>>().into_iter().cloned().collect();
        let code = |cell: Option<String>| cell.and_then(|text| names.binary_search(&text).ok());
        let codes = cells.into_iter().map(code).collect();
        Self::Categories { codes, names }
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its content.
    pub values: Values,
}

/// What becomes of missing values among the features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// They are an error.
    Error,
    /// The mean of the column's numbers; a category that is missing is no
    /// category, all zeros. Mind that the mean is of all rows, also of those
    /// that will be tested on.
    Mean,
}

/// A table of typed columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    columns: Vec<Column>,
    rows: usize,
}

impl Table {
    /// The columns, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The number of rows, without the header.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The column of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn column(&self, name: &str) -> Result<&Column> {
        self.columns.iter().find(|c| c.name == name).ok_or_else(|| {
            Error::unknown("column", name, self.columns.iter().map(|c| c.name.as_str()))
        })
    }

    /// The texts of a column of categories; a missing one is empty.
    ///
    /// # Errors
    /// There is no such column, or it holds numbers.
    pub fn texts(&self, name: &str) -> Result<Vec<String>> {
        match &self.column(name)?.values {
            Values::Categories { codes, names } => {
                Ok(codes.iter().map(|c| c.map(|c| names[c].clone()).unwrap_or_default()).collect())
            }
            Values::Numbers(_) => Err(Error::argument(
                "texts",
                "column",
                name,
                "a column of categories; see `Csv::categorical`",
            )),
        }
    }

    /// The table without some columns.
    ///
    /// # Errors
    /// One of them is not there.
    pub fn without(&self, names: &[&str]) -> Result<Self> {
        for name in names {
            self.column(name)?;
        }
        let keep = |c: &&Column| !names.contains(&c.name.as_str());
        Ok(Self { columns: self.columns.iter().filter(keep).cloned().collect(), rows: self.rows })
    }

    /// A data set that predicts column `target` from all others. Numbers are
    /// taken as they are; a column of categories becomes one feature of 0 or 1
    /// for each. A target of categories is a class, one of numbers a value.
    ///
    /// # Errors
    /// No such column; a missing target; a missing feature, with
    /// [`Missing::Error`]; a column without a single value.
    pub fn dataset(&self, target: &str, missing: Missing) -> Result<Dataset> {
        let targets = &self.column(target)?.values;
        let (mut names, mut features) = (Vec::new(), Vec::new());
        for column in self.columns.iter().filter(|c| c.name != target) {
            column.encode(missing, &mut names, &mut features)?;
        }
        let width = features.len();
        let mut data = vec![0.0_f32; self.rows * width];
        for (i, feature) in features.iter().enumerate() {
            for (row, &x) in feature.iter().enumerate() {
                data[row * width + i] = x as f32;
            }
        }
        let features = Tensor::from_vec(data, [self.rows, width])?;
        let set = match targets {
            Values::Categories { codes, names } => {
                Dataset::classification(features, present(target, codes)?, names.clone())?
            }
            Values::Numbers(numbers) => {
                let numbers: Vec<f32> =
                    present(target, numbers)?.into_iter().map(|x| x as f32).collect();
                Dataset::regression(features, Tensor::from_vec(numbers, self.rows)?)?
            }
        };
        set.with_feature_names(names)
    }
}

fn gap(row: usize, column: &str) -> Error {
    Error::Cell {
        row: row + 1,
        column: column.to_owned(),
        problem: "the value is missing; fill it, leave out the row, or use `Missing::Mean`"
            .to_owned(),
    }
}

fn present<T: Copy>(column: &str, values: &[Option<T>]) -> Result<Vec<T>> {
    values.iter().enumerate().map(|(row, v)| v.ok_or_else(|| gap(row, column))).collect()
}

impl Column {
    /// Adds the features of this column.
    fn encode(
        &self,
        missing: Missing,
        feature_names: &mut Vec<String>,
        features: &mut Vec<Vec<f64>>,
    ) -> Result<()> {
        match &self.values {
            Values::Numbers(numbers) => {
                let known: Vec<f64> = numbers.iter().copied().flatten().collect();
                let filled = match missing {
                    Missing::Error => present(&self.name, numbers)?,
                    Missing::Mean if known.is_empty() && !numbers.is_empty() => {
                        return Err(gap(0, &self.name));
                    }
                    Missing::Mean => {
                        let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
                        numbers.iter().map(|x| x.unwrap_or(mean)).collect()
                    }
                };
                feature_names.push(self.name.clone());
                features.push(filled);
            }
            Values::Categories { codes, names } => {
                if missing == Missing::Error {
                    present(&self.name, codes)?;
                }
                for (i, name) in names.iter().enumerate() {
                    feature_names.push(format!("{}={name}", self.name));
                    let one = |code: &Option<usize>| if *code == Some(i) { 1.0 } else { 0.0 };
                    features.push(codes.iter().map(one).collect());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gaps_and_types() {
        let text = "a;b;y\n1;x;0.5\n2;;1\n;x;2\n";
        let table = Csv::new().delimiter(b';').parse(text.as_bytes()).unwrap();
        assert_eq!(table.rows(), 3);
        assert_eq!(
            table.column("a").unwrap().values,
            Values::Numbers(vec![Some(1.0), Some(2.0), None])
        );
        let e = table.dataset("y", Missing::Error).unwrap_err().to_string();
        assert!(e.contains("row 3") && e.contains("`a`"), "{e}");
        let data = table.dataset("y", Missing::Mean).unwrap();
        assert_eq!(data.features().to_vec(), [1.0, 1.0, 2.0, 0.0, 1.5, 1.0]);
        let e = table.dataset("a", Missing::Mean).unwrap_err().to_string();
        assert!(e.contains("row 3"), "{e}");
        let e = table.dataset("z", Missing::Mean).unwrap_err().to_string();
        assert!(e.contains("a, b, y"), "{e}");
    }

    #[test]
    fn categories_on_request_and_no_header() {
        let csv = Csv::new().without_header().categorical(["1"]);
        let data = csv.parse(b"5,3\n6,1\n7,3\n").unwrap().dataset("1", Missing::Error).unwrap();
        assert_eq!(
            (data.class_names(), data.labels().unwrap()),
            (&["1".into(), "3".into()][..], &[1, 0, 1][..])
        );
        assert!(Csv::new().categorical(["q"]).parse(b"a,b\n1,2\n").is_err());
    }

    #[test]
    fn broken_tables_are_refused() {
        for text in ["a,b\n1\n", "a,a\n1,2\n"] {
            let e = Csv::new().parse(text.as_bytes()).unwrap_err();
            assert!(matches!(e, Error::Malformed { .. }), "{e}");
        }
        let tight = Csv::new().limits(Limits::bytes(4));
        assert!(matches!(tight.parse(b"a,b\n1,2\n"), Err(Error::TooLarge { .. })));
        assert!(Csv::new().read("/no/such/file.csv").unwrap_err().to_string().contains("file.csv"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(table) = Csv::new().parse(&bytes) {
                for column in table.columns() {
                    let _ = table.dataset(&column.name, Missing::Mean);
                }
            }
        }
    }
}
