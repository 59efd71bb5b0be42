//! The table of texts and labels.

use crate::shared::Outcome;
use std::{
    fmt::Write,
    path::{Path, PathBuf},
};
use transfer_learning::{
    data::{
        Dataset,
        read::csv::{Csv, Table},
        samples,
    },
    prelude::*,
};

/// Texts with their labels.
pub struct Labelled {
    texts: Vec<String>,
    /// Labels, with the number of the row in place of features.
    pub rows: Dataset,
}

impl Labelled {
    /// Reads `.csv` or `.tsv`, plain or gzipped, with a header.
    pub fn read(path: &Path, text: &str, target: &str) -> Outcome<Self> {
        let name = path.to_string_lossy();
        let delimiter = if name.trim_end_matches(".gz").ends_with(".tsv") { b'\t' } else { b',' };
        // An empty cell alone is a missing one: "NA" may well be a text.
        let csv = Csv::new().delimiter(delimiter).missing([""]).categorical([text, target]);
        let table = csv.read(path)?;
        let (texts, labels) = (column(&table, text)?, column(&table, target)?);
        let mut classes = labels.clone();
        classes.sort();
        classes.dedup();
        let code = |label: &String| classes.binary_search(label).unwrap_or_default();
        let codes = labels.iter().map(code).collect();
        let n = texts.len();
        let rows = Tensor::from_vec((0..n).map(|i| i as f32).collect(), [n, 1])?;
        Ok(Self { texts, rows: Dataset::classification(rows, codes, classes)? })
    }

    /// The texts of a part of the rows.
    pub fn of(&self, part: &Dataset) -> Vec<&str> {
        places(part).into_iter().map(|i| self.texts[i].as_str()).collect()
    }
}

/// The texts of a column, none of them empty.
fn column(table: &Table, name: &str) -> Outcome<Vec<String>> {
    let texts = table.texts(name)?;
    match texts.iter().position(String::is_empty) {
        Some(at) => {
            Err(format!("row {}, column `{name}` is empty; fill it or leave the row out", at + 1)
                .into())
        }
        None => Ok(texts),
    }
}

/// The numbers of the rows of a part.
pub fn places(part: &Dataset) -> Vec<usize> {
    part.features().to_vec().into_iter().map(|i| i as usize).collect()
}

/// Writes a table to begin with: 2,000 definitions from WordNet, each with the kind
/// of thing that it defines; every fifth of them in a short run.
pub fn write_definitions(path: PathBuf, quick: bool) -> Outcome<PathBuf> {
    let [_, train, test] = samples::definitions();
    let mut table = String::from("text\tlabel\n");
    for part in [train, test] {
        for (text, label) in part.texts.iter().zip(&part.labels).step_by(if quick { 5 } else { 1 })
        {
            let text = text.replace('"', "\"\"");
            writeln!(table, "\"{text}\"\t{}", part.class_names[*label])?;
        }
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&path, table)?;
    Ok(path)
}
