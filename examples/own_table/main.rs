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
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use shared::{
    Outcome,
    args::Args,
    bar,
    rows::{self, Row},
    serve,
    table::Table,
};
use std::{path::PathBuf, time::Instant};
use transfer_learning::{
    data::{
        Dataset,
        read::csv::{Csv, Missing},
    },
    nn::metric::{Trials, accuracy},
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

    let (validation, test) = compare(&data, args)?;
    let best = validation.best()?.name.clone();
    let mut table = Table::new(["way", "validation", "test", "seconds/seed"]);
    for way in &test.ways {
        let chosen = if way.name == best { "validation chose this" } else { "" };
        table.row([
            format!("{} {chosen}", way.name).trim().to_owned(),
            validation.summary(&way.name)?.to_string(),
            test.summary(&way.name)?.to_string(),
            format!("{:.2}", way.seconds.iter().sum::<f64>() / way.seconds.len() as f64),
        ]);
    }
    table.print();

    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == best).unwrap_or(Kind::Logistic);
    let trained = Trained::fit(kind, &data, 0)?;
    if let Some(folder) = flags.model.parent() {
        std::fs::create_dir_all(folder)?;
    }
    trained.save(&flags.model)?;
    println!("saved {} to {}; `--serve` answers with it", best, flags.model.display());

    if let Some(file) = &args.json {
        rows::write(file, &[Row::of("own table", &test, &best)?])?;
    }
    Ok(())
}

/// Accuracy of each kind on the validation and test parts of each seed; the
/// first way is the most frequent class.
fn compare(data: &Dataset, args: &Args) -> Outcome<(Trials, Trials)> {
    let mut trials = [Trials::new("own table", "accuracy"), Trials::new("own table", "accuracy")];
    let bar = bar::over(args.seeds() as usize * Kind::ALL.len());
    for seed in 0..args.seeds() {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (rest, test) = data.split(0.8, rng)?;
        let (train, validation) = rest.split(0.75, rng)?;
        let counts = train.class_counts()?;
        let common = (0..counts.len()).max_by_key(|&class| counts[class]).unwrap_or(0);
        for (trials, part) in trials.iter_mut().zip([&validation, &test]) {
            let right = part.labels()?.iter().filter(|&&label| label == common).count();
            trials.push("most frequent class", right as f64 / part.len() as f64, 0.0);
        }
        for kind in Kind::ALL {
            bar.set_message(kind.name());
            let start = Instant::now();
            let trained = Trained::fit(kind, &train, seed)?;
            let seconds = start.elapsed().as_secs_f64();
            for (trials, part) in trials.iter_mut().zip([&validation, &test]) {
                let logits = trained.logits_of(part.features())?;
                trials.push(kind.name(), accuracy(&logits, &part.labels()?.into())?, seconds);
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let [validation, test] = trials;
    Ok((validation, test))
}
