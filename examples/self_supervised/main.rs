//! Self-supervised learning: many pictures without labels, a few with.
//!
//! An encoder learns from unlabelled garments and digits; then a few labels are
//! given to logistic regression on its features, or to the whole network. Beside
//! it stand the same network trained from scratch on the labels alone, principal
//! components, and the encoder with random weights. Two tables come last, with
//! 5 % of their labels.
//!
//! `cargo run --release --example self_supervised`; with `--data target/data` on
//! all pictures of MNIST and Fashion-MNIST, and on messages of news groups if
//! `tools/fetch-models` has brought the sentence encoder.
#![allow(clippy::print_stdout, unreachable_pub)]

#[path = "../shared/mod.rs"]
mod shared;

mod judge;
mod nets;
mod pictures;
mod tables;
mod texts;

use clap::Parser;
use judge::{Scaled, Supervised, features, probe};
use nets::{digit_views, encoder, garment_views, gentle_digits, gentle_garments};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use shared::{
    Outcome,
    args::Args,
    bar,
    page::Page,
    rows::{self, Row},
    table::Table,
};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};
use transfer_learning::{
    data::{Dataset, read::idx, samples, transform::Compose},
    nn::{Sequential, metric::Trials, shallow::Pca},
    ssl::{Error, Method, Pretrain},
    tensor::Tensor,
};

const GARMENTS: &str = "garments (Fashion-MNIST)";
const DIGITS: &str = "digits (MNIST)";
const MESSAGES: &str = "messages (20 Newsgroups)";
/// Where `tools/fetch-models` leaves the encoder of sentences.
const SENTENCES: &str = "target/models/all-MiniLM-L6-v2";

/// The flags.
#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    args: Args,
    /// Only kinds of data whose name has this in it, such as `digits` or `wines`.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Only these methods of pre-training pictures, by name, such as `VICReg,BYOL`.
    /// Default: SimCLR on embedded data; on all pictures also VICReg, BYOL, and a
    /// masked autoencoder. `none` leaves what needs no pre-training.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    methods: Vec<String>,
}

/// A kind of picture: its data and what does not change it.
struct Kind {
    name: &'static str,
    train: Dataset,
    test: Dataset,
    /// For pre-training.
    views: fn() -> Compose,
    /// For training on labels.
    gentle: fn() -> Compose,
}

/// A method that collapsed, and how.
type Stopped = (&'static str, Error);

/// How much is done.
struct Effort {
    methods: Vec<(&'static str, Method)>,
    /// Labels a class.
    shots: Vec<usize>,
    epochs: usize,
    batch: usize,
    /// From scratch and from pre-trained weights alike.
    supervised: Supervised,
}

impl Effort {
    fn new(args: &Args) -> Self {
        let methods = vec![
            ("SimCLR", Method::SimClr { temperature: 0.2 }),
            ("VICReg", Method::vicreg()),
            ("BYOL", Method::byol()),
            ("masked autoencoder", Method::masked(4)),
        ];
        let (shots, epochs, batch, steps) = match (&args.data, args.quick) {
            (_, true) => (vec![5], 1, 128, 20),
            (None, false) => (vec![1, 5, 20], 30, 128, 200),
            // 200 steps are too few for so many labels.
            (Some(_), false) => (vec![10, 50, 100], 3, 256, 1000),
        };
        let supervised = Supervised { steps, lr: 3e-3 };
        Self { methods, shots, epochs, batch, supervised }
    }
}

fn main() -> Outcome {
    let Flags { args, only, methods } = Flags::parse();
    let mut effort = Effort::new(&args);
    if !methods.is_empty() {
        effort.methods.retain(|(name, _)| methods.iter().any(|m| m == name));
    } else if args.data.is_none() {
        effort.methods.truncate(1);
    }
    let mut kinds = Vec::from(kinds(args.data.as_deref())?);
    kinds.retain(|kind| kind.name.contains(&only));
    let mut tables = vec![("tumours", samples::breast_cancer()), ("wines", samples::wine())];
    tables.retain(|(name, _)| name.contains(&only));
    let model = Path::new(SENTENCES);
    let groups = match &args.data {
        Some(data) if MESSAGES.contains(&only) && model.exists() => {
            Some(texts::Groups::open(model, data, args.quick)?)
        }
        _ => None,
    };
    let seeds = args.seeds();
    let jobs = kinds.len() + tables.len() + usize::from(groups.is_some());
    let bar = bar::over(seeds as usize * jobs);

    let mut page = Page::new("Self-supervised learning: many pictures without labels, a few with");
    let mut rows = Vec::new();
    for kind in &kinds {
        let name = |k: &usize| format!("{}, {k} labels a class", kind.name);
        let mut all: Vec<Trials> =
            effort.shots.iter().map(|k| Trials::new(&name(k), "accuracy")).collect();
        let mut methods = effort.methods.clone();
        let mut first = None;
        page.heading(kind.name);
        for seed in 0..seeds {
            let (net, stopped) = one_seed(kind, &effort, &methods, seed, &mut all)?;
            first = first.or(net);
            for (name, why) in stopped {
                methods.retain(|(other, _)| *other != name);
                for trials in &mut all {
                    trials.ways.retain(|way| !way.name.starts_with(name));
                }
                let note = format!("{}: no row for {name}: {why}", kind.name);
                bar.suspend(|| println!("{note}"));
                page.text(&note);
            }
            bar.inc(1);
        }
        pictures::views(&mut page, &kind.train, &(kind.views)())?;
        if let Some(net) = &first {
            show_neighbours(&mut page, kind, net)?;
        }
        report(&mut page, &mut rows, &all)?;
    }
    for (name, table) in &tables {
        let mut trials = Trials::new(&format!("{name} (a table), 5 % of the labels"), "accuracy");
        for seed in 0..seeds {
            tables::run(table, seed, args.quick, &mut trials)?;
            bar.inc(1);
        }
        page.heading(name);
        report(&mut page, &mut rows, &[trials])?;
    }
    if let Some(groups) = &groups {
        let shots = if args.quick { &texts::SHOTS[1..2] } else { &texts::SHOTS };
        let name = |k: &usize| format!("{MESSAGES}, {k} labels a group");
        let mut all: Vec<Trials> =
            shots.iter().map(|k| Trials::new(&name(k), "accuracy")).collect();
        for seed in 0..seeds {
            groups.run(shots, seed, &mut all)?;
            bar.inc(1);
        }
        page.heading(MESSAGES);
        report(&mut page, &mut rows, &all)?;
    }
    bar.finish_and_clear();

    let path = Path::new("target/self_supervised/index.html");
    page.save(path)?;
    println!("Pictures and tables: {}", path.display());
    if let Some(path) = &args.json {
        rows::write(path, &rows)?;
    }
    Ok(())
}

fn kinds(data: Option<&Path>) -> Outcome<[Kind; 2]> {
    let read = |folder: PathBuf, part: &str, like: &Dataset| -> Outcome<Dataset> {
        let file = |kind: &str| {
            let plain = folder.join(format!("{part}-{kind}-ubyte"));
            if plain.exists() { plain } else { plain.with_extension("gz") }
        };
        let names = like.class_names().to_vec();
        Ok(idx::labelled_images(file("images-idx3"), file("labels-idx1"), names)?)
    };
    type Recipe = fn() -> Compose;
    let kind = |name, embedded: (Dataset, Dataset), folder, [views, gentle]: [Recipe; 2]| {
        let (train, test) = match data {
            None => embedded,
            Some(data) => {
                let folder = data.join(folder);
                (read(folder.clone(), "train", &embedded.0)?, read(folder, "t10k", &embedded.1)?)
            }
        };
        Outcome::Ok(Kind { name, train, test, views, gentle })
    };
    let (garments, digits) = (samples::fashion_mnist(), samples::mnist());
    Ok([
        kind(GARMENTS, garments, "fashion-mnist", [garment_views, gentle_garments])?,
        kind(DIGITS, digits, "mnist", [digit_views, gentle_digits])?,
    ])
}

/// All ways with one seed; the encoder of the first method, and methods that collapsed.
fn one_seed(
    kind: &Kind,
    effort: &Effort,
    methods: &[(&'static str, Method)],
    seed: u64,
    all: &mut [Trials],
) -> Outcome<(Option<Sequential>, Vec<Stopped>)> {
    let Kind { train, test, views, gentle, .. } = kind;
    let few: Vec<Dataset> = effort
        .shots
        .iter()
        .map(|&k| Ok(train.k_shot(k, &mut ChaCha8Rng::seed_from_u64(seed))?.0))
        .collect::<Outcome<_>>()?;
    // Scales and components are found on some of the unlabelled pictures.
    let known = train.features().narrow(0, 0, train.len().min(5000))?;
    for (few, trials) in few.iter().zip(&mut *all) {
        let start = Instant::now();
        let reached = effort.supervised.fit(&encoder(seed), few, test, gentle(), seed)?;
        trials.push("from scratch", reached, start.elapsed().as_secs_f64());
    }
    let judge = |name: &str,
                 of: &dyn Fn(&Tensor) -> Outcome<Tensor>,
                 start: Instant,
                 all: &mut [Trials]|
     -> Outcome {
        let scaled = Scaled::new(of, &known)?;
        let unseen = scaled.of(test.features())?;
        for (few, trials) in few.iter().zip(all) {
            let reached = probe(few, test, &scaled, &unseen)?;
            trials.push(name, reached, start.elapsed().as_secs_f64());
        }
        Ok(())
    };
    let start = Instant::now();
    let pca = Pca::fit(&known.flatten(1, -1)?, 50)?;
    let components = |x: &Tensor| -> Outcome<Tensor> { Ok(pca.transform(&x.flatten(1, -1)?)?) };
    judge("principal components + logistic", &components, start, all)?;
    let random = encoder(seed);
    judge("random encoder + logistic", &|x| features(&random, x), Instant::now(), all)?;
    let (mut first, mut stopped) = (None, Vec::new());
    for (name, method) in methods {
        let start = Instant::now();
        let mut net = encoder(seed);
        let run = Pretrain::new(*method).epochs(effort.epochs).batch(effort.batch).seed(seed);
        match run.fit(&mut net, train, &views()) {
            Ok(_) => {}
            Err(why @ Error::Collapsed { .. }) => {
                stopped.push((*name, why));
                continue;
            }
            Err(other) => return Err(other.into()),
        }
        judge(&format!("{name} + logistic"), &|x| features(&net, x), start, all)?;
        for (few, trials) in few.iter().zip(&mut *all) {
            let reached = effort.supervised.fit(&net, few, test, gentle(), seed)?;
            let name = format!("{name}, fine-tuned");
            trials.push(&name, reached, start.elapsed().as_secs_f64());
        }
        first.get_or_insert(net);
    }
    Ok((first, stopped))
}

fn show_neighbours(page: &mut Page, kind: &Kind, net: &Sequential) -> Outcome {
    let bank = kind.train.select(&(0..kind.train.len().min(1500)).collect::<Vec<_>>())?;
    let title = "Test pictures, and the unlabelled ones nearest to them by the encoder";
    pictures::neighbours(page, title, &bank, &kind.test, &|x| features(net, x))?;
    let title = "The same by pixels";
    pictures::neighbours(page, title, &bank, &kind.test, &|x| Ok(x.flatten(1, -1)?))
}

fn report(page: &mut Page, rows: &mut Vec<Row>, all: &[Trials]) -> Outcome {
    for trials in all {
        println!("\n{trials}");
        page.subheading(&trials.data);
        let mut table = Table::new(["way", "accuracy", "against the first"]);
        for (i, way) in trials.ways.iter().enumerate() {
            let verdict = match i {
                0 => "-".to_owned(),
                _ => trials.verdict(&way.name)?.to_string(),
            };
            table.row([way.name.clone(), trials.summary(&way.name)?.to_string(), verdict]);
            if i > 0 {
                let technique = format!("self-supervised: {}", way.name);
                rows.push(Row::of(&technique, trials, &way.name)?);
            }
        }
        page.table(&table);
    }
    Ok(())
}
