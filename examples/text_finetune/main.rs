//! An encoder of text, made good at a few labels.
//!
//! `cargo run --release --example text_finetune`
//!
//! Definitions of nouns: which kind of thing is defined? Without anything else a small
//! transformer learns eight kinds from 2,400 embedded definitions and then eight other
//! kinds from 20 labels of each. Where `tools/fetch-models` has left all-MiniLM-L6-v2,
//! or with `--weights DIR`, that encoder takes its place (`--small`: not even then).
//! `--data target/data`, which `tools/fetch-data` fills, adds the sentiment of four
//! domains and 20 Newsgroups. `--speed` measures a step of full fine-tuning and of
//! LoRA instead.
//!
//! Ways: the same network from scratch, a linear probe, LoRA at rank 8, and full
//! fine-tuning. The last two begin with the probe's head.
#![allow(clippy::print_stdout, unreachable_pub)]

mod adapt;
mod corpus;
#[path = "../shared/mod.rs"]
mod shared;
mod speed;
mod tiny;

use adapt::{Encoder, Plan};
use clap::Parser;
use corpus::Corpus;
use shared::{
    Outcome,
    args::Args,
    bar,
    rows::{self, Row},
};
use std::path::{Path, PathBuf};
use transfer_learning::finetune::FineTuneReport;

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    shared: Args,
    /// The folder of all-MiniLM-L6-v2, as `tools/fetch-models` leaves it.
    #[arg(long, value_name = "DIR")]
    weights: Option<PathBuf>,
    /// Only the data whose name begins with this.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// The small transformer on embedded data, whatever is there.
    #[arg(long)]
    small: bool,
    /// Tests on texts of the training part that were not drawn: to choose rates by.
    #[arg(long)]
    validate: bool,
    /// The learning rate of LoRA.
    #[arg(long, value_name = "RATE")]
    lora_rate: Option<f32>,
    /// Alpha of LoRA.
    #[arg(long, value_name = "ALPHA")]
    lora_alpha: Option<f32>,
    /// The learning rate of full fine-tuning, also from scratch.
    #[arg(long, value_name = "RATE")]
    full_rate: Option<f32>,
    /// Passes over the labelled texts.
    #[arg(long, value_name = "N")]
    passes: Option<usize>,
    /// LoRA and full fine-tuning alone, one against the other.
    #[arg(long)]
    tuned: bool,
    /// Measures a step instead.
    #[arg(long)]
    speed: bool,
}

/// Where `tools/fetch-models` leaves the encoder.
const WEIGHTS: &str = "target/models/all-MiniLM-L6-v2";

fn main() -> Outcome {
    let flags = Flags::parse();
    let args = &flags.shared;
    let folder = flags.weights.clone().unwrap_or_else(|| PathBuf::from(WEIGHTS));
    let there = folder.join("model.safetensors").is_file() && !flags.small;
    if !there && (flags.shared.data.is_some() || flags.weights.is_some()) {
        return Err(format!("{} is not there: run tools/fetch-models", folder.display()).into());
    }
    let encoder = if there { Encoder::mini_lm(&folder)? } else { tiny::pretrained(args.quick)? };
    if flags.speed {
        return speed::measure(&encoder);
    }
    let mut corpora = vec![Corpus::definitions()];
    if let Some(data) = &flags.shared.data {
        corpora.extend(corpus::fetched(data)?);
    }
    if let Some(only) = &flags.only {
        corpora.retain(|c| c.name.starts_with(only.as_str()));
    }
    let seeds = args.seeds();
    let bar = bar::over(corpora.len() * seeds as usize);
    let mut rows = Vec::new();
    for corpus in &corpora {
        let plan = Plan::of(corpus, there, &flags);
        let report = adapt::run(&encoder, corpus, &plan, seeds, &bar)?;
        bar.suspend(|| -> Outcome {
            println!("{report}");
            let file = corpus.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            let page = Path::new("target/text_finetune").join(format!("{file}.html"));
            report.save(&page)?;
            println!("Page: {}\n", page.display());
            Ok(())
        })?;
        rows.extend(all_rows(&report)?);
    }
    bar.finish_and_clear();
    if let Some(path) = &args.json {
        rows::write(path, &rows)?;
    }
    Ok(())
}

fn all_rows(report: &FineTuneReport) -> Outcome<Vec<Row>> {
    let ways = report.trials.ways.iter().skip(1);
    ways.map(|w| Row::of(&format!("text: {}", w.name), &report.trials, &w.name)).collect()
}
