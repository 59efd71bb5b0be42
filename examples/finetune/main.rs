//! A network that knows something else, made good at garments.
//!
//! `cargo run --release --example finetune`
//!
//! Without anything else a small network learns digits and half of the garments, and
//! then the other half from 10 labels of each: all on embedded data. Where
//! `tools/fetch-models` has left EfficientNet-Lite0, or with `--weights FILE`, that
//! network, which knows ImageNet, learns all ten garments from 10 and 50 labels of
//! each; `--data target/data` tests it on all of Fashion-MNIST. `--small` is the
//! first even then.
//!
//! Beside each result stands a network of the same kind trained from scratch on the
//! same labels.
#![allow(clippy::print_stdout, unreachable_pub)]

mod large;
#[path = "../shared/mod.rs"]
mod shared;
mod small;

use clap::Parser;
use shared::{
    Outcome,
    args::Args,
    rows::{self, Row},
};
use std::path::{Path, PathBuf};
use transfer_learning::finetune::FineTuneReport;

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    shared: Args,
    /// The weights of EfficientNet-Lite0, as `tools/fetch-models` leaves them.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// The small network on embedded data, whatever is there.
    #[arg(long)]
    small: bool,
}

/// Where `tools/fetch-models` leaves the weights.
const WEIGHTS: &str = "target/models/efficientnet-lite0.safetensors";

fn main() -> Outcome {
    let flags = Flags::parse();
    let weights = match flags.weights.clone() {
        Some(path) => Some(path),
        None => Some(PathBuf::from(WEIGHTS)).filter(|path| path.is_file()),
    };
    if flags.shared.data.is_some() && weights.is_none() {
        return Err(format!("{WEIGHTS} is not there: run tools/fetch-models").into());
    }
    let reports = match weights.filter(|_| !flags.small) {
        Some(path) => large::run(&path, flags.shared.data.as_deref(), &flags.shared)?,
        None => small::run(&flags.shared)?,
    };
    let mut rows = Vec::new();
    for (name, report) in &reports {
        println!("{report}");
        let page = Path::new("target/finetune").join(format!("{name}.html"));
        report.save(&page)?;
        println!("Page: {}\n", page.display());
        rows.extend(all_rows(report)?);
    }
    if let Some(path) = &flags.shared.json {
        rows::write(path, &rows)?;
    }
    Ok(())
}

fn all_rows(report: &FineTuneReport) -> Outcome<Vec<Row>> {
    let ways = report.trials.ways.iter().skip(1);
    ways.map(|w| Row::of(&format!("fine-tuning: {}", w.name), &report.trials, &w.name)).collect()
}
