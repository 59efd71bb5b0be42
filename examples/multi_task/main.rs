//! Multi-task learning: what sharing a model costs and brings, beside a model of
//! its own for each task.
//!
//! - `toy`: the two conflicting losses of Liu et al. (2021), with their paths drawn;
//! - `wine`, `zoo`: tables, classes and numbers mixed, most labels missing;
//! - `digits`: two MNIST digits in one picture, a task for each (in the manner of
//!   Sener and Koltun 2018);
//! - `garments`: MNIST and Fashion-MNIST, each with pictures of its own;
//! - `sentiment`, `newsgroups`: two tasks on vectors of MiniLM, with `--data` alone.
//!
//! `cargo run --release --example multi_task [-- --only digits --data target/data]`
#![allow(clippy::print_stdout, unreachable_pub)]

#[path = "../shared/mod.rs"]
mod shared;

mod digits;
mod garments;
mod learn;
mod tables;
mod text;
mod toy;

use clap::Parser;
use shared::{
    Outcome,
    args::Args,
    page::Page,
    rows::{self, Row},
    table::Table,
};
use std::path::Path;
use transfer_learning::multitask::Report;

/// Multi-task learning beside single-task models.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    args: Args,
    /// Only this study: toy, wine, zoo, digits, garments, sentiment
    /// or newsgroups.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// A study, run.
type Run = fn(&Args) -> Outcome<Study>;

/// What a study found.
pub struct Study {
    /// Its heading.
    pub title: &'static str,
    /// What is learned from what.
    pub about: String,
    /// The methods beside single-task models.
    pub report: Report,
    /// What else there is to see.
    pub notes: Vec<String>,
}

fn main() -> Outcome {
    let Options { args, only } = Options::parse();
    // Texts are not embedded, so they have to be asked for.
    let asked = |name: &str| only.as_deref() == Some(name);
    let wanted = |name: &str| only.is_none() || asked(name);
    let folder = Path::new("target/multi_task");
    let mut page = Page::new("Multi-task learning");
    let mut rows = Vec::new();
    if wanted("toy") {
        let svg = toy::picture(args.quick)?;
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("toy.svg"), &svg)?;
        page.heading("Two losses in conflict");
        page.svg(&svg, "paths of four balancers from three starts to the Pareto set");
    }
    let studies: [(&str, Run); 6] = [
        ("wine", tables::wine),
        ("zoo", tables::zoo),
        ("digits", digits::study),
        ("garments", garments::study),
        ("sentiment", text::sentiment),
        ("newsgroups", text::newsgroups),
    ];
    let text = ["sentiment", "newsgroups"];
    let chosen = |name: &str| if text.contains(&name) { asked(name) } else { wanted(name) };
    for (_, study) in studies.iter().filter(|(name, _)| chosen(name)) {
        let study = study(&args)?;
        println!("{}\n{}\n\n{}", study.title, study.about, study.report);
        study.notes.iter().for_each(|note| println!("{note}\n"));
        show(&mut page, &study)?;
        for trials in &study.report.tasks {
            for way in trials.ways.iter().skip(1) {
                rows.push(Row::of(&format!("multi-task: {}", way.name), trials, &way.name)?);
            }
        }
    }
    page.save(&folder.join("index.html"))?;
    println!("Pictures: {}", folder.join("index.html").display());
    if let Some(path) = &args.json {
        rows::write(path, &rows)?;
    }
    Ok(())
}

/// A study's part of the page.
fn show(page: &mut Page, study: &Study) -> Outcome {
    page.heading(study.title);
    page.text(&study.about);
    for trials in &study.report.tasks {
        page.subheading(&format!("{}: {}", trials.data, trials.metric));
        let mut table =
            Table::new(["way", trials.metric.as_str(), "against a model for each task"]);
        for (i, way) in trials.ways.iter().enumerate() {
            let verdict = if i == 0 { "-".into() } else { trials.verdict(&way.name)?.to_string() };
            table.row([way.name.clone(), trials.summary(&way.name)?.to_string(), verdict]);
        }
        page.table(&table);
    }
    let mut table = Table::new(["way", "mean relative gain (Δm)"]);
    let ways = study.report.tasks.first().map_or(&[][..], |t| &t.ways[..]);
    for way in ways.iter().skip(1) {
        let delta = study.report.delta_m(&way.name)?;
        let cell = format!("{:+.2}% ± {:.2}", 100.0 * delta.mean, 100.0 * delta.ci95);
        table.row([way.name.clone(), cell]);
    }
    page.table(&table);
    study.notes.iter().for_each(|note| page.code(note));
    Ok(())
}
