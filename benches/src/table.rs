//! The rows of a comparison: printed as they come, and kept as JSON.
#![allow(clippy::print_stdout)]

use crate::{Outcome, measure::Times};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A workload beside one peer. Names in the JSON are those of the contract:
/// `ratio` is peer / ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    workload: String,
    peer: String,
    threads: usize,
    ours_ms: f64,
    peer_ms: f64,
    ratio: f64,
    /// First and third quartile over the blocks.
    ours_iqr_ms: [f64; 2],
    peer_iqr_ms: [f64; 2],
    /// Of the ratios of blocks that follow each other.
    ratio_iqr: [f64; 2],
    /// Peak memory beyond what the process had before, MiB.
    ours_mib: f64,
    peer_mib: f64,
}

impl Row {
    /// From the times of both sides for `steps` steps, and their peak memory.
    pub fn new(
        workload: &str,
        peer: &str,
        threads: usize,
        [ours, theirs]: [&Times; 2],
        steps: f64,
        [ours_mib, peer_mib]: [f64; 2],
    ) -> Self {
        Self {
            workload: workload.to_owned(),
            peer: peer.to_owned(),
            threads,
            ours_ms: ours.median() / steps,
            peer_ms: theirs.median() / steps,
            ratio: theirs.median() / ours.median(),
            ours_iqr_ms: ours.quartiles().map(|q| q / steps),
            peer_iqr_ms: theirs.quartiles().map(|q| q / steps),
            ratio_iqr: ours.ratio_quartiles(theirs),
            ours_mib,
            peer_mib,
        }
    }

    fn same(&self, other: &Self) -> bool {
        (&self.workload, &self.peer, self.threads) == (&other.workload, &other.peer, other.threads)
    }

    fn print(&self) {
        println!(
            "{:<24} {:<13} {:>9.3} {:>9.3} {:>7.2}x  {:>6.2} - {:<6.2} {:>8.1} {:>8.1}",
            self.workload,
            self.peer,
            self.ours_ms,
            self.peer_ms,
            self.ratio,
            self.ratio_iqr[0],
            self.ratio_iqr[1],
            self.ours_mib,
            self.peer_mib,
        );
    }
}

/// A row that is not there, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Skipped {
    workload: String,
    peer: String,
    reason: String,
}

/// All rows so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Table {
    rows: Vec<Row>,
    #[serde(default)]
    skipped: Vec<Skipped>,
    /// Geometric mean of the ratios, by peer.
    #[serde(default)]
    means: std::collections::BTreeMap<String, f64>,
    #[serde(skip)]
    path: Option<PathBuf>,
}

impl Table {
    /// Empty, or with what the file has.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn new(path: Option<PathBuf>, merge: bool) -> Outcome<Self> {
        let mut table = match &path {
            Some(file) if merge && file.exists() => {
                serde_json::from_str(&std::fs::read_to_string(file)?)?
            }
            _ => Self::default(),
        };
        table.path = path;
        Ok(table)
    }

    /// Prints the names of the columns.
    pub fn head(&self) {
        println!(
            "{:<24} {:<13} {:>9} {:>9} {:>8}  {:^15} {:>8} {:>8}",
            "workload", "peer", "ms", "ms", "ratio", "quartiles", "MiB", "MiB"
        );
    }

    /// Adds a row, in the place of an older one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn row(&mut self, row: Row) -> Outcome {
        row.print();
        self.skipped.retain(|s| (&s.workload, &s.peer) != (&row.workload, &row.peer));
        match self.rows.iter_mut().find(|old| old.same(&row)) {
            Some(old) => *old = row,
            None => self.rows.push(row),
        }
        self.save()
    }

    /// Says why a row is not there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn skip(&mut self, workload: &str, peer: &str, reason: &str) -> Outcome {
        let reason = reason.lines().next().unwrap_or_default().to_owned();
        println!("{workload:<24} {peer:<13} skipped: {reason}");
        self.skipped.retain(|s| (s.workload.as_str(), s.peer.as_str()) != (workload, peer));
        self.skipped.push(Skipped { workload: workload.into(), peer: peer.into(), reason });
        self.save()
    }

    /// The rows as a table of Markdown, and the geometric means below it.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "| workload | against | threads | ours, ms | theirs, ms | times faster | quartiles \
             | ours, MiB | theirs, MiB |\n|---|---|---|---|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            let [low, high] = row.ratio_iqr;
            text += &format!(
                "| `{}` | {} | {} | {:.2} | {:.2} | {:.2} | {low:.2} - {high:.2} | {:.0} | {:.0} |\n",
                row.workload,
                row.peer,
                row.threads,
                row.ours_ms,
                row.peer_ms,
                row.ratio,
                row.ours_mib,
                row.peer_mib,
            );
        }
        text.push('\n');
        for (peer, mean) in &self.means {
            text += &format!("- geometric mean against {peer}: {mean:.2}\n");
        }
        text
    }

    /// Prints the geometric means.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn end(mut self) -> Outcome {
        let mut logs: std::collections::BTreeMap<String, Vec<f64>> = Default::default();
        for row in &self.rows {
            logs.entry(row.peer.clone()).or_default().push(row.ratio.ln());
        }
        for (peer, logs) in logs {
            let mean = (logs.iter().sum::<f64>() / logs.len() as f64).exp();
            println!("geometric mean against {peer:<13} {mean:.2}x over {} rows", logs.len());
            self.means.insert(peer, mean);
        }
        self.save()
    }

    fn save(&self) -> Outcome {
        let Some(path) = &self.path else { return Ok(()) };
        let text = serde_json::to_string_pretty(self)?;
        let part = path.with_extension("part");
        std::fs::write(&part, text + "\n")?;
        Ok(std::fs::rename(part, path)?)
    }
}
