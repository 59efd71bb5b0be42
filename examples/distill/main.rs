//! A large network's knowledge in a small one.
//!
//! A convolutional network learns garments from 1500 labelled pictures. Two
//! small students, a perceptron and a tiny convolutional network, learn the same
//! pictures from labels alone and in several ways from the teacher. Then the
//! cases in which a teacher has more to give: most pictures have no label, or a
//! whole class is missing. At last the chain to a network that ships: distil,
//! prune, quantise, measure after each step.
//!
//! `cargo run --release --example distill`
//!
//! More parts, by name (`--only`): with `--data target/data` garments in full,
//! and `mnist`, Hinton's experiments; after `tools/fetch-models` `features`
//! (EfficientNet-Lite0) and, after `tools/fetch-data` too, `sentences` (MiniLM);
//! `step`, what a step costs. See `docs/distillation.md`.
#![allow(clippy::print_stdout, unreachable_pub)]

mod features;
mod garments;
mod labels;
mod mnist;
mod nets;
#[path = "../shared/mod.rs"]
mod shared;
mod step;
mod text;

use clap::{Parser, ValueEnum};
use shared::{Outcome, args::Args, bar, page::Page, rows, rows::Row, table::Table};
use std::path::{Path, PathBuf};
use transfer_learning::{
    distill::{DistillReport, NO_TEACHER},
    nn::metric::Trials,
};

#[derive(Clone, Debug, Parser)]
struct Options {
    #[command(flatten)]
    shared: Args,
    /// Pre-trained models from this folder, as `tools/fetch-models` writes it.
    #[arg(long, value_name = "DIR", default_value = "target/models")]
    models: PathBuf,
    /// Rated snippets for `sentences`: lines of id, rating and text.
    #[arg(long, value_name = "FILE", default_value = "target/data/vader/amazon.tsv")]
    text: PathBuf,
    /// Passes over the data for each student, in the place of the part's own.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    epochs: Option<u64>,
    /// One part alone.
    #[arg(long)]
    only: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A perceptron and a tiny CNN from a CNN.
    Garments,
    /// Few labels, and a class that is missing.
    Labels,
    /// Distil, prune, quantise.
    Chain,
    /// Hinton's experiments on the whole of MNIST.
    Mnist,
    /// EfficientNet-Lite0's features to a small CNN.
    Features,
    /// MiniLM to three layers and to a table of tokens.
    Sentences,
    /// What a step costs, and what integers save.
    Step,
}

/// What the parts found.
#[derive(Default)]
struct Found {
    reports: Vec<DistillReport>,
    trials: Vec<Trials>,
}

fn main() -> Outcome {
    let options = Options::parse();
    let args = &options.shared;
    let usual = [Part::Garments, Part::Labels, Part::Chain];
    let parts = options.only.map_or(usual.to_vec(), |part| vec![part]);
    let bar = bar::over(parts.len());
    let mut found = Found::default();
    for part in parts {
        bar.set_message(format!("{part:?}"));
        run(part, &options, &mut found)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    show(&found, args.json.as_deref())
}

fn run(part: Part, options: &Options, found: &mut Found) -> Outcome {
    let (args, seeds) = (&options.shared, options.shared.seeds());
    let there = |path: &Path, tool: &str| {
        path.exists().then_some(()).ok_or_else(|| format!("no {}: run {tool}", path.display()))
    };
    // The part's own, unless the run is quick or a number was said.
    let passes = |own: usize, quick: usize| {
        options.epochs.map_or(if args.quick { quick } else { own }, |n| n as usize)
    };
    let epochs = passes(if args.data.is_some() { 4 } else { 20 }, 2);
    match part {
        Part::Mnist => {
            let folder = args.data.as_deref().unwrap_or(Path::new("target/data"));
            there(&folder.join("mnist"), "tools/fetch-data")?;
            found.trials.extend(mnist::run(folder, passes(10, 1), seeds)?);
        }
        Part::Features => {
            let models = &options.models;
            there(models, "tools/fetch-models")?;
            let (train, test) = garments::read(None)?;
            let data = [&train, &test];
            let report = features::run(models, data, passes(20, 2), args.quick, seeds)?;
            found.reports.push(report);
        }
        Part::Sentences => {
            let Options { models, text, .. } = options;
            there(models, "tools/fetch-models")?;
            there(text, "tools/fetch-data, or give --text FILE")?;
            found.trials.extend(text::run(models, text, passes(3, 1), args.quick, seeds)?);
        }
        Part::Step => step::run(args.quick)?,
        Part::Garments | Part::Labels | Part::Chain => {
            let (train, test) = garments::read(args.data.as_deref())?;
            let data = [&train, &test];
            let teacher = garments::teacher(&train, epochs)?;
            match part {
                Part::Garments => {
                    found.reports.extend(garments::students(&teacher, data, epochs, seeds)?);
                }
                Part::Chain => found.reports.push(garments::chain(&teacher, data, epochs, seeds)?),
                _ => {
                    found.trials.push(labels::few(&teacher, data, epochs, seeds)?);
                    found.trials.push(labels::without_threes(epochs, seeds)?);
                }
            }
        }
    }
    Ok(())
}

fn show(found: &Found, json: Option<&Path>) -> Outcome {
    let mut page = Page::new("A large network's knowledge in a small one");
    page.text(
        "A teacher, and small students that learn the same data from labels alone (the baseline) \
         and from the teacher: the same start, order and number of steps for each seed. Tests are \
         paired over seeds; the teacher is one and the same.",
    );
    let mut all = Vec::new();
    let row = |trials: &Trials, all: &mut Vec<Row>| -> Outcome {
        for way in trials.ways.iter().filter(|w| !w.name.starts_with(NO_TEACHER)) {
            all.push(Row::of("distillation", trials, &way.name)?);
        }
        Ok(())
    };
    for (i, report) in found.reports.iter().enumerate() {
        println!("{report}");
        page.heading(&report.trials.data);
        page.table(&quality(&report.trials)?);
        page.text("How often a student names the teacher's class:");
        page.table(&quality(&report.agreement)?);
        page.table(&size(report));
        page.svg(&report.to_svg(), "accuracy over bytes, with latency as area");
        row(&report.trials, &mut all)?;
        report.save(format!("target/distill/report-{i}.html"))?;
    }
    for trials in &found.trials {
        println!("{trials}");
        page.heading(&trials.data);
        page.table(&quality(trials)?);
        row(trials, &mut all)?;
    }
    if !all.is_empty() {
        let path = Path::new("target/distill/index.html");
        page.save(path)?;
        println!("Tables and pictures as a page: {}", path.display());
    }
    if let Some(path) = json {
        rows::write(path, &all)?;
    }
    Ok(())
}

fn quality(trials: &Trials) -> Outcome<Table> {
    let mut table = Table::new(["way", &trials.metric, "gain", "p", "verdict"]);
    for way in &trials.ways {
        let name = &way.name;
        let (gain, p, verdict) = if name == NO_TEACHER {
            Default::default()
        } else if way.results.len() < 2 {
            // Nothing was drawn, so there is one result and no test.
            let gain = trials.summary(name)?.mean - trials.summary(NO_TEACHER)?.mean;
            (format!("{gain:+.4}"), String::new(), String::new())
        } else {
            let c = trials.against_baseline(name)?;
            let verdict = trials.verdict(name)?.to_string();
            (format!("{:+.4}", c.difference), format!("{:.4}", c.p), verdict)
        };
        let result = format!("{:.4}", trials.summary(name)?);
        table.row([name.clone(), result, gain, p, verdict]);
    }
    Ok(table)
}

fn size(report: &DistillReport) -> Table {
    let mut table = Table::new([
        "network",
        "parameters",
        "bytes",
        "MACs",
        "ms, 1",
        "ms, 32",
        "accuracy",
        "ECE",
        "McNemar's p",
    ]);
    for m in &report.compression.networks {
        table.row([
            m.name.clone(),
            m.parameters.to_string(),
            m.bytes.to_string(),
            m.macs.map_or("unknown".to_owned(), |x| x.to_string()),
            format!("{:.3}", m.latency_1),
            format!("{:.3}", m.latency_32),
            format!("{:.4}", m.accuracy),
            format!("{:.3}", m.calibration),
            m.p.map_or(String::new(), |p| format!("{p:.4}")),
        ]);
    }
    table
}
