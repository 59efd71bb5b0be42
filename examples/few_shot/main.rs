//! Few-shot learning: classes that training never saw, from one or five samples.
//!
//! Methods practise on five kinds of garment and are tested on the other five
//! (Fashion-MNIST), in 5-way tasks. Beside them stand the
//! nearest neighbour on pixels and a plainly pre-trained encoder.
//!
//! `cargo run --release --example few_shot`
//!
//! With `--data FOLDER`, a folder with Omniglot's `images_train` and
//! `images_katakana` (alphabets as folders of characters), the same is done for
//! characters.
#![allow(clippy::print_stdout, unreachable_pub)]

mod data;
mod methods;
mod net;
#[path = "../shared/mod.rs"]
mod shared;

use clap::Parser;
use data::Source;
use shared::{
    Outcome,
    args::Args,
    bar,
    page::{Card, Page},
    rows::{self, Row},
    table::Table,
};
use std::path::{Path, PathBuf};
use transfer_learning::maml::{Protocol, Report, Task, TaskSource};

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    shared: Args,
    /// A folder with Omniglot's alphabets, to use instead of the garments.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
}

fn main() -> Outcome {
    let flags = Flags::parse();
    let args = &flags.shared;
    let seeds = args.seeds();
    let budget = methods::Budget::new(args.quick, flags.data.is_some());
    let shots: &[usize] = if args.quick { &[1] } else { &[1, 5] };
    let bar = bar::over(shots.len() * seeds as usize);
    let mut reports = Vec::new();
    let mut episode = None;
    for &shot in shots {
        let mut both: Option<[Report; 2]> = None;
        for seed in 0..seeds {
            let source = Source::load(flags.data.as_deref(), shot, seed)?;
            let reports = both.get_or_insert_with(|| {
                let name =
                    |p: &str| format!("{}, {}-way {shot}-shot, {p}", source.name, source.way);
                [Report::new(&name("inductive")), Report::new(&name("transductive"))]
            });
            bar.set_message(format!("{shot}-shot"));
            methods::run(&source, &budget, seed, reports, &mut episode)?;
            bar.inc(1);
        }
        reports.extend(both.into_iter().flatten());
    }
    bar.finish_and_clear();

    let mut page = Page::new("Few-shot learning: classes that training never saw");
    let mut rows = Vec::new();
    for report in &reports {
        println!("\n{report}");
        page.heading(&report.trials.data);
        page.table(&table(report)?);
        for way in report.trials.ways.iter().skip(1) {
            rows.push(Row::of(&format!("meta-learning: {}", way.name), &report.trials, &way.name)?);
        }
    }
    page.text(
        "Inductive: every query is predicted for itself. Transductive: batch normalisation uses \
         the statistics of all queries of a task together. Intervals are over seeds of training.",
    );
    if let Some((task, predicted)) = &episode {
        draw(&mut page, task, predicted)?;
    }
    let path = Path::new("target/few_shot/index.html");
    page.save(path)?;
    println!("\nA task as a picture: {}", path.display());
    if let Some(path) = &args.json {
        rows::write(path, &rows)?;
    }
    Ok(())
}

fn table(report: &Report) -> Outcome<Table> {
    let mut table = Table::new(["method", "accuracy", "against the first", "seconds a seed"]);
    let trials = &report.trials;
    for (i, way) in trials.ways.iter().enumerate() {
        let summary = trials.summary(&way.name)?;
        let verdict = match i {
            0 => "-".to_owned(),
            _ => trials.verdict(&way.name)?.to_string(),
        };
        let seconds = way.seconds.iter().sum::<f64>() / way.seconds.len() as f64;
        table.row([way.name.clone(), summary.to_string(), verdict, format!("{seconds:.1}")]);
    }
    Ok(table)
}

/// Support, query and what was said of it.
fn draw(page: &mut Page, task: &Task, predicted: &[usize]) -> Outcome {
    let names: Vec<String> = match &task.support.targets {
        transfer_learning::data::Targets::Classes { names, .. } => names.to_vec(),
        _ => Vec::new(),
    };
    let name = |label: usize| names.get(label).cloned().unwrap_or_default();
    let side = task.support.features.size(-1)?;
    let pixels = |x: &transfer_learning::tensor::Tensor, i: usize| -> Outcome<Vec<f32>> {
        Ok(x.select(0, i)?.to_vec())
    };
    page.heading("One task: what there is to learn from");
    let mut cards = Vec::new();
    for (i, &label) in task.support.labels()?.as_slice().iter().enumerate() {
        let lines = vec![(name(label), true)];
        cards.push(Card { pixels: pixels(&task.support.features, i)?, width: side, lines });
    }
    page.images(&cards);
    page.heading("and what was said of new samples");
    cards.clear();
    for (i, &label) in task.query.labels()?.as_slice().iter().enumerate() {
        let right = predicted.get(i) == Some(&label);
        let said = predicted.get(i).map_or(String::new(), |&p| name(p));
        let mut lines = vec![(said, right)];
        if !right {
            lines.push((format!("is {}", name(label)), true));
        }
        cards.push(Card { pixels: pixels(&task.query.features, i)?, width: side, lines });
    }
    page.images(&cards);
    Ok(())
}

/// The protocols, in the order of the reports.
pub const PROTOCOLS: [Protocol; 2] = [Protocol::Inductive, Protocol::Transductive];

/// The task that is drawn.
pub fn shown(source: &dyn TaskSource) -> Outcome<Task> {
    Ok(source.task(2026, 0)?)
}
