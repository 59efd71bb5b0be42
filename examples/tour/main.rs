//! The main job: a model from one domain, a few labels in another.
//!
//! Handwritten digits of two origins, UCI's and MNIST's (made 8x8 alike). A
//! network learns one of them well. Then there are only a few labelled digits
//! of the other: is it better to learn from those alone, to put a new head on
//! the frozen network, or to go on training all of it?
//!
//! `cargo run --release --example tour`
#![allow(clippy::print_stdout, unreachable_pub)]

mod experiment;
mod net;
mod report;
#[path = "../shared/mod.rs"]
mod shared;

use clap::Parser;
use shared::{Outcome, args::Args, bar, rows};
use std::path::Path;

fn main() -> Outcome {
    let args = Args::parse();
    let shots: &[usize] = if args.quick { &[2, 5] } else { &[1, 2, 5, 10, 20] };
    let seeds = args.seeds();
    let domains = experiment::domains();
    let bar = bar::over(domains.len() * seeds as usize);
    let mut all = Vec::new();
    for domain in &domains {
        let mut runs = Vec::new();
        for seed in 0..seeds {
            bar.set_message(domain.name.clone());
            runs.push(experiment::run(domain, shots, seed, args.quick)?);
            bar.inc(1);
        }
        all.push((domain, runs));
    }
    bar.finish_and_clear();

    let report = report::Report::new(&all, shots)?;
    report.print();
    let page = Path::new("target/tour/index.html");
    report.save(page)?;
    println!("\nCurves, samples and predictions: {}", page.display());
    if let Some(path) = &args.json {
        rows::write(path, &report.rows(seeds))?;
    }
    Ok(())
}
