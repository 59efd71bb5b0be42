//! Few-shot learning: classes that training never saw, from one or five samples.
//!
//! Methods practise on five kinds of garment and are tested on the other five
//! (Fashion-MNIST), in 5-way tasks, and on handwritten digits. Beside them stand
//! the nearest neighbour on pixels and a plainly pre-trained encoder.
//!
//! `cargo run --release --example few_shot`
//!
//! With `--sinusoid`, the regression benchmark of the MAML paper. With `--data
//! FOLDER`, a folder with Omniglot's `images_train` and `images_katakana`
//! (alphabets as folders of characters; needs `--features image`), characters.
#![allow(clippy::print_stdout, clippy::print_stderr, unreachable_pub)]

mod data;
mod draw;
mod methods;
mod net;
mod omniglot;
#[path = "../shared/mod.rs"]
mod shared;
mod sinusoid;

use clap::Parser;
use data::Source;
use shared::{
    Outcome,
    args::Args,
    bar,
    page::Page,
    rows::{self, Row},
    table::Table,
};
use transfer_learning::maml::Report;

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    shared: Args,
    /// Only these methods, on Omniglot.
    #[arg(long, value_enum, value_delimiter = ',', requires = "data")]
    only: Vec<omniglot::Method>,
    /// Practises without this alphabet and tests on it, to choose something by.
    #[arg(long, value_name = "ALPHABET", requires = "data")]
    hold_out: Option<String>,
    /// The sinusoids of the MAML paper instead of images.
    #[arg(long)]
    sinusoid: bool,
    /// Steps of the outer optimiser on sinusoids; the paper takes 70000.
    #[arg(long, value_name = "N", default_value_t = 5000, requires = "sinusoid")]
    meta_steps: usize,
}

fn main() -> Outcome {
    let flags = Flags::parse();
    match &flags.shared.data {
        Some(folder) => {
            omniglot::run(folder, &flags.only, flags.hold_out.as_deref(), &flags.shared)
        }
        None if flags.sinusoid => sinusoid::run(&flags.shared, flags.meta_steps),
        None => garments(&flags.shared),
    }
}

fn garments(args: &Args) -> Outcome {
    let seeds = args.seeds();
    let budget = methods::Budget::new(args.quick);
    let shots: &[usize] = if args.quick { &[1] } else { &[1, 5] };
    let bar = bar::over(shots.len() * seeds as usize);
    let mut reports = Vec::new();
    let mut extras = methods::Extras::default();
    for &shot in shots {
        let mut of_shot = methods::reports(shot);
        bar.set_message(format!("{shot}-shot"));
        for seed in 0..seeds {
            let source = Source::garments(shot, seed)?;
            methods::run(&source, &budget, seed, &mut of_shot, &mut extras)?;
            bar.inc(1);
        }
        reports.extend(of_shot);
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
    if let Some(memory) = &extras.memory {
        println!("\n{memory}");
        page.text(memory);
    }
    if let Some(shown) = &extras.shown {
        draw::episode(&mut page, shown)?;
    }
    draw::save(page)?;
    if let Some(path) = &args.json {
        rows::write(path, &rows)?;
    }
    Ok(())
}

fn table(report: &Report) -> Outcome<Table> {
    let mut table = Table::new(["method", "result", "against the first", "seconds a seed"]);
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
