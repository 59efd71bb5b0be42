//! The numbers of a run, epoch by epoch.

use super::objective::Metrics;
use crate::{Error, Result, fs};
use serde::{Deserialize, Deserializer, Serialize};
use std::{collections::BTreeSet, path::Path};

/// The numbers of one epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The epoch, from 0.
    pub epoch: usize,
    /// Optimiser steps so far.
    pub step: u64,
    /// The learning rate of the last step.
    pub lr: f64,
    /// The mean over the batches of the loss and its named parts.
    #[serde(deserialize_with = "null_is_nan")]
    pub train: Metrics,
    /// The metrics of the validation; empty without one.
    #[serde(deserialize_with = "null_is_nan")]
    pub validation: Metrics,
    /// Seconds that the epoch took, with its validation.
    pub seconds: f64,
}

/// JSON has no NaN: it is written as `null`.
fn null_is_nan<'de, D: Deserializer<'de>>(from: D) -> Result<Metrics, D::Error> {
    let map = std::collections::BTreeMap::<String, Option<f64>>::deserialize(from)?;
    Ok(map.into_iter().map(|(name, x)| (name, x.unwrap_or(f64::NAN))).collect())
}

/// The records of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History {
    /// In order of the epochs.
    pub records: Vec<Record>,
}

impl History {
    /// One JSON object a line.
    ///
    /// # Errors
    /// None that can happen for records made by the training loop.
    pub fn to_json_lines(&self) -> Result<String> {
        let mut text = String::new();
        for record in &self.records {
            text += &serde_json::to_string(record).map_err(|e| Error::Other(Box::new(e)))?;
            text.push('\n');
        }
        Ok(text)
    }

    /// A table with a header: `epoch,step,lr,seconds,train.loss,..`. A metric
    /// that an epoch lacks is an empty field.
    pub fn to_csv(&self) -> String {
        let names = |of: fn(&Record) -> &Metrics| -> Vec<&str> {
            let all: BTreeSet<&str> =
                self.records.iter().flat_map(|r| of(r).keys().map(String::as_str)).collect();
            all.into_iter().collect()
        };
        let (train, validation) = (names(|r| &r.train), names(|r| &r.validation));
        let mut text = String::from("epoch,step,lr,seconds");
        for (part, list) in [("train", &train), ("validation", &validation)] {
            for name in list {
                text += &format!(",{}", quoted(&format!("{part}.{name}")));
            }
        }
        text.push('\n');
        for r in &self.records {
            text += &format!("{},{},{},{}", r.epoch, r.step, r.lr, r.seconds);
            for (map, list) in [(&r.train, &train), (&r.validation, &validation)] {
                for name in list {
                    text.push(',');
                    text += &map.get(*name).map(f64::to_string).unwrap_or_default();
                }
            }
            text.push('\n');
        }
        text
    }

    /// Saves a table if `path` ends in `.csv`, else JSON lines; completely or
    /// not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let csv = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
        let text = if csv { self.to_csv() } else { self.to_json_lines()? };
        fs::write_atomically(path, text.as_bytes())
    }
}

/// A field of a table, quoted where it has to be.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
