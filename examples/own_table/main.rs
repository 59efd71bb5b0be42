//! Your own table: from a CSV file to a saved model to a service.
//!
//! Reads a table (plain or gzipped, with missing values and categories), compares
//! logistic regression with a small network over several seeds, chooses between
//! them on a validation part, says on a test part that had no say how good the
//! choice is, trains it on all rows and saves it in one file.
//!
//! ```sh
//! cargo run --release --example own_table -- --table my.csv --target kind
//! echo '{"mean_radius": 17.99, "mean_texture": 10.38}' |
//!     cargo run --release --example own_table -- --serve
//! ```
//! Without arguments it takes UCI's breast cancer table.
#![allow(clippy::print_stdout, unreachable_pub)]

#[path = "../shared/mod.rs"]
mod shared;

mod model;

use clap::Parser;
use model::{Kind, Trained};
use shared::{Outcome, args::Args, choice::Choice, rows, serve};
use std::path::PathBuf;
use transfer_learning::data::{
    Dataset,
    read::csv::{Csv, Missing},
};

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    shared: Args,
    /// The table, `.csv` or `.csv.gz`, with a header.
    #[arg(long, value_name = "FILE", default_value = concat!(
        env!("CARGO_MANIFEST_DIR"), "/../tl-data/data/breast-cancer.csv.gz"))]
    table: PathBuf,
    /// The column to predict; it holds categories.
    #[arg(long, value_name = "COLUMN", default_value = "class")]
    target: String,
    /// Where the model is.
    #[arg(long, value_name = "FILE", default_value = "target/own_table/model.safetensors")]
    model: PathBuf,
    /// Answers rows from standard input, each a JSON object of columns and values.
    #[arg(long)]
    serve: bool,
}

fn main() -> Outcome {
    let flags = Flags::parse();
    if flags.serve {
        let trained = Trained::open(&flags.model)?;
        return serve::lines(|line| {
            let row = serde_json::from_str(line)?;
            Ok(serve::verdict(&trained.logits(&row)?, &trained.classes))
        });
    }
    let args = &flags.shared;
    let data = Csv::new().read(&flags.table)?.dataset(&flags.target, Missing::Mean)?;
    println!(
        "{}: {} rows, {} features, {} classes",
        flags.table.display(),
        data.len(),
        data.feature_names().len(),
        data.classes()
    );

    let mut choice = Choice::new("own table", Kind::ALL.len(), args);
    for seed in 0..args.seeds() {
        let parts = choice.parts(&data, seed)?;
        for kind in Kind::ALL {
            choice.measure(kind.name(), &parts, |train| {
                let trained = Trained::fit(kind, train, seed)?;
                Ok(move |part: &Dataset| trained.logits_of(part.features()))
            })?;
        }
    }
    let best = choice.print()?;

    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == best).unwrap_or(Kind::Logistic);
    let trained = Trained::fit(kind, &data, 0)?;
    if let Some(folder) = flags.model.parent() {
        std::fs::create_dir_all(folder)?;
    }
    trained.save(&flags.model)?;
    println!("saved {best} to {}; `--serve` answers with it", flags.model.display());

    if let Some(file) = &args.json {
        rows::write(file, &[choice.row(best)?])?;
    }
    Ok(())
}
