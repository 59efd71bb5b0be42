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
use sentences::Sentences;
use shared::{Outcome, args::Args, choice::Choice, rows, serve};
use std::path::PathBuf;
use texts::{Labelled, places};
use transfer_learning::{data::Dataset, prelude::*};
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

    let mut choice = Choice::new("own text", 1 + usize::from(vectors.is_some()), args);
    for seed in 0..args.seeds() {
        compare(&mut choice, &data, vectors.as_ref(), seed)?;
    }
    let best = choice.print()?;

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
        rows::write(file, &[choice.row(best)?])?;
    }
    Ok(())
}

/// Both ways with the parts of a seed.
fn compare(choice: &mut Choice, data: &Labelled, vectors: Option<&Tensor>, seed: u64) -> Outcome {
    let parts = choice.parts(&data.rows, seed)?;
    choice.measure(WORDS, &parts, |train| {
        // What counts as a word is learned from the training part alone.
        let words = Words::fit(&data.of(train))?;
        let head = head(&train.with_features(&words.features(&data.of(train))?)?, seed)?;
        Ok(move |part: &Dataset| {
            Ok(head.forward(&words.features(&data.of(part))?, &mut Ctx::eval())?)
        })
    })?;
    let Some(vectors) = vectors else { return Ok(()) };
    let of = |part: &Dataset| vectors.index_select(0, &Indices::from(places(part)));
    choice.measure(SENTENCES, &parts, |train| {
        let head = head(&train.with_features(&of(train)?)?, seed)?;
        Ok(move |part: &Dataset| Ok(head.forward(&of(part)?, &mut Ctx::eval())?))
    })
}
