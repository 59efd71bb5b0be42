//! The flags of every example.

use clap::Parser;
use std::path::PathBuf;

/// Runs on embedded data, offline, without any flag.
#[derive(Clone, Debug, Parser)]
pub struct Args {
    /// Write the results as JSON to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Full-size data from this folder, as `tools/fetch-data` writes it.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// How many seeds; an interval needs at least two.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1000))]
    pub seeds: Option<u64>,
    /// A short run that shows that everything works; its numbers say little.
    #[arg(long)]
    pub quick: bool,
}

impl Args {
    /// How many seeds to run: 5, or 2 in a short run, unless said.
    pub fn seeds(&self) -> u64 {
        self.seeds.unwrap_or(if self.quick { 2 } else { 5 })
    }
}
