//! Your own texts: from a table of texts and labels to a saved model to a service.
//!
//! Turns each text into numbers, by its words or by the vector that a pre-trained
//! sentence encoder gives it, puts a logistic head on them, compares the two ways
//! over several seeds, chooses on a validation part, says on a test part that had
//! no say how good the choice is, trains it on all rows and saves encoder and head
//! in one file.
//!
//! ```sh
//! tools/fetch-models   # once: all-MiniLM-L6-v2
//! cargo run --release --example own_text -- --table my.csv --text review --target stars
//! echo "Fell apart after a week." | cargo run --release --example own_text -- --serve
//! ```
//! Without `tools/fetch-models` there are words alone; without a table it writes one
//! of definitions first. To train the encoder too, see `text_finetune`.
#![allow(clippy::print_stdout, unreachable_pub)]

#[path = "../shared/mod.rs"]
mod shared;

mod model;
mod sentences;
mod texts;
mod words;

use clap::Parser;
use model::{Encoder, SENTENCES, Trained, WORDS, head};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sentences::Sentences;
use shared::{
    Outcome,
    args::Args,
    bar,
    rows::{self, Row},
    serve,
    table::Table,
};
use std::{path::PathBuf, time::Instant};
use texts::{Labelled, places};
use transfer_learning::{
    data::Dataset,
    nn::metric::{Trials, accuracy},
    prelude::*,
};
use words::Words;

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    shared: Args,
    /// The table, `.csv` or `.tsv`, plain or gzipped, with a header.
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// The column with the texts.
    #[arg(long, value_name = "COLUMN", default_value = "text")]
    text: String,
    /// The column to predict.
    #[arg(long, value_name = "COLUMN", default_value = "label")]
    target: String,
    /// The folder of the sentence encoder, as `tools/fetch-models` leaves it.
    #[arg(long, value_name = "DIR", default_value = "target/models/all-MiniLM-L6-v2")]
    weights: PathBuf,
    /// Where the model is.
    #[arg(long, value_name = "FILE", default_value = "target/own_text/model.safetensors")]
    model: PathBuf,
    /// Answers texts from standard input, one a line.
    #[arg(long)]
    serve: bool,
}

fn main() -> Outcome {
    let flags = Flags::parse();
    if flags.serve {
        let trained = Trained::open(&flags.model)?;
        return serve::lines(|line| Ok(serve::verdict(&trained.logits(line)?, &trained.classes)));
    }
    let args = &flags.shared;
    let table = match &flags.table {
        Some(table) => table.clone(),
        None => texts::write_definitions("target/own_text/definitions.tsv".into(), args.quick)?,
    };
    let data = Labelled::read(&table, &flags.text, &flags.target)?;
    println!("{}: {} texts of {} classes", table.display(), data.rows.len(), data.rows.classes());
    let pretrained = flags.weights.join("model.safetensors").is_file();
    let pretrained = pretrained.then(|| Sentences::from_folder(&flags.weights)).transpose()?;
    if pretrained.is_none() {
        println!("{} is not there: words alone (tools/fetch-models)", flags.weights.display());
    }
    // They learn nothing from the texts, so once is enough for all seeds.
    let vectors = match &pretrained {
        Some(sentences) => Some(sentences.features(&data.of(&data.rows))?),
        None => None,
    };

    let (validation, test) = compare(&data, vectors.as_ref(), args)?;
    let best = validation.best()?.name.clone();
    let mut table = Table::new(["way", "validation", "test"]);
    for way in &test.ways {
        let chosen = if way.name == best { "validation chose this" } else { "" };
        table.row([
            format!("{} {chosen}", way.name).trim().to_owned(),
            validation.summary(&way.name)?.to_string(),
            test.summary(&way.name)?.to_string(),
        ]);
    }
    table.print();

    let (encoder, features) = match (pretrained, vectors) {
        (Some(sentences), Some(vectors)) if best != WORDS => {
            (Encoder::Sentences(Box::new(sentences)), vectors)
        }
        _ => {
            let texts = data.of(&data.rows);
            let words = Words::fit(&texts)?;
            let features = words.features(&texts)?;
            (Encoder::Words(words), features)
        }
    };
    let head = head(&data.rows.with_features(&features)?, 0)?;
    let trained = Trained { encoder, head, classes: data.rows.class_names().to_vec() };
    trained.save(&flags.model)?;
    println!("saved {best} to {}; `--serve` answers with it", flags.model.display());
    if let Some(file) = &args.json {
        rows::write(file, &[Row::of("own text", &test, &best)?])?;
    }
    Ok(())
}

/// Accuracy of each way on the validation and test parts of each seed; the first is
/// the most frequent class.
fn compare(data: &Labelled, vectors: Option<&Tensor>, args: &Args) -> Outcome<(Trials, Trials)> {
    let mut trials = [Trials::new("own text", "accuracy"), Trials::new("own text", "accuracy")];
    let bar = bar::over(args.seeds() as usize * (1 + usize::from(vectors.is_some())));
    for seed in 0..args.seeds() {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (rest, test) = data.rows.split(0.8, rng)?;
        let (train, validation) = rest.split(0.75, rng)?;
        let counts = train.class_counts()?;
        let common = (0..counts.len()).max_by_key(|&class| counts[class]).unwrap_or(0);
        for (trials, part) in trials.iter_mut().zip([&validation, &test]) {
            let right = part.labels()?.iter().filter(|&&label| label == common).count();
            trials.push("most frequent class", right as f64 / part.len() as f64, 0.0);
        }

        let mut measure = |name: &str, features: &dyn Fn(&Dataset) -> Outcome<Tensor>| {
            bar.set_message(name.to_owned());
            let start = Instant::now();
            let head = head(&train.with_features(&features(&train)?)?, seed)?;
            let seconds = start.elapsed().as_secs_f64();
            for (trials, part) in trials.iter_mut().zip([&validation, &test]) {
                let logits = head.forward(&features(part)?, &mut Ctx::eval())?;
                trials.push(name, accuracy(&logits, &part.labels()?.into())?, seconds);
            }
            bar.inc(1);
            Outcome::Ok(())
        };
        // What counts as a word is learned from the training part alone.
        let words = Words::fit(&data.of(&train))?;
        measure(WORDS, &|part| words.features(&data.of(part)))?;
        if let Some(vectors) = vectors {
            measure(SENTENCES, &|part| Ok(vectors.index_select(0, &Indices::from(places(part)))?))?;
        }
    }
    bar.finish_and_clear();
    let [validation, test] = trials;
    Ok((validation, test))
}
