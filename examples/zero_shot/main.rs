//! Zero-shot learning: classes that training never saw.
//!
//! Digits, by the segments that a display lights for them: embedded, offline. Three
//! of the ten are unseen in every split; settings and calibration are chosen on
//! held-out classes among the seen ones.
//!
//! Where `tools/fetch-models` has been, garments by sentence vectors of their names
//! and descriptions (`--splits 120` takes every choice of three unseen ones), and
//! with what `tools/fetch-data` brings the classifier rows of 200 classes of ImageNet
//! by their names; `--data target/data` adds texts by the names of their topics.
//!
//! `cargo run --release --example zero_shot`
#![allow(clippy::print_stdout, unreachable_pub)]

#[path = "../shared/mod.rs"]
mod shared;

// It has more than is needed here.
#[allow(dead_code)]
#[path = "../text_finetune/corpus.rs"]
mod corpus;
mod digits;
mod garments;
mod imagenet;
mod results;
mod texts;

use clap::Parser;
use results::Results;
use shared::{Outcome, args::Args};
use std::path::PathBuf;

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    shared: Args,
    /// What `tools/fetch-models` brought.
    #[arg(long, value_name = "DIR", default_value = "target/models")]
    models: PathBuf,
    /// How many choices of unseen classes; four a seed unless said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=1000))]
    splits: Option<u64>,
    /// Only `digits`, `garments`, `imagenet` or `texts`; may be given several times.
    #[arg(long, value_name = "PART", value_parser = ["digits", "garments", "imagenet", "texts"])]
    only: Vec<String>,
}

impl Flags {
    /// A split is cheap, and splits differ much.
    fn splits(&self) -> u64 {
        let each = if self.shared.quick { 1 } else { 4 };
        self.splits.unwrap_or(self.shared.seeds() * each)
    }

    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|p| p == part)
    }
}

fn main() -> Outcome {
    let flags = Flags::parse();
    let mut results = Results::new("Zero-shot learning: classes that training never saw");
    if flags.wants("digits") {
        digits::run(&flags, &mut results)?;
    }
    let data = flags.shared.data.clone().unwrap_or_else(|| "target/data".into());
    let sentences = flags.models.join("all-MiniLM-L6-v2");
    let pictures = flags.models.join("efficientnet-lite0.safetensors");
    let encoder = sentences.join("model.safetensors").is_file();
    if flags.wants("garments") {
        if encoder && pictures.is_file() {
            garments::run(&flags, &pictures, &sentences, &mut results)?;
        } else {
            println!("garments are left out: tools/fetch-models");
        }
    }
    if flags.wants("imagenet") {
        if let Some(files) = imagenet::Files::find(&flags.models, &data) {
            let splits = flags.splits.unwrap_or(flags.shared.seeds());
            for trials in imagenet::compare(&files, splits)? {
                println!("\n{trials}");
                results.add("zero-shot", &trials)?;
            }
        } else {
            println!("ImageNet's classes are left out: tools/fetch-models and tools/fetch-data");
        }
    }
    if flags.wants("texts") {
        match &flags.shared.data {
            Some(data) if encoder => texts::run(&flags, data, &sentences, &mut results)?,
            _ => println!("texts are left out: tools/fetch-models, and --data target/data"),
        }
    }
    results.save(&flags.shared)
}
