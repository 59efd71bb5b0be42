//! Zero-shot learning: digits that training never saw, by the segments that a
//! display lights for them.
//!
//! Three of the ten digits are unseen in every split; settings and calibration
//! are chosen on held-out classes among the seen ones. Beside the methods stands
//! chance.
//!
//! With what `tools/fetch-models` and `tools/fetch-data` bring it also looks for
//! the classifier rows of 200 classes of ImageNet by their names alone.
//!
//! `cargo run --release --example zero_shot`
#![allow(clippy::print_stdout, unreachable_pub)]

#[path = "../shared/mod.rs"]
mod shared;

mod imagenet;

use clap::Parser;
use shared::{
    Outcome,
    args::Args,
    bar,
    page::{Card, Page},
    rows::{self, Row},
    table::Table,
};
use std::path::{Path, PathBuf};
use transfer_learning::{
    data::{Dataset, samples},
    nn::metric::{Summary, Trials},
    zeroshot::{
        Conse, Dap, Direction, Eszsl, FeatureVae, Iap, Method, PrototypeRegression, Ranking,
        RankingLoss, Report, Sae, Signatures, Split, ZeroShot, seven_segments,
    },
};

/// The unseen digits of every split.
const UNSEEN: usize = 3;

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    shared: Args,
    /// What `tools/fetch-models` brought.
    #[arg(long, value_name = "DIR", default_value = "target/models")]
    models: PathBuf,
}

fn main() -> Outcome {
    let Flags { shared: args, models } = Flags::parse();
    // A split is cheap, and splits differ much: four for every seed.
    let splits = args.seeds() * if args.quick { 1 } else { 4 };
    let mut page = Page::new("Zero-shot learning: digits that training never saw");
    let mut rows = Vec::new();
    let data = digits()?;
    let mut report = Report::new(&format!("UCI digits by segments, {UNSEEN} of 10 unseen"));
    let bar = bar::over(splits as usize);
    let mut shown = None;
    for seed in 0..splits {
        let split = Split::random(&data, &signed()?, UNSEEN, 0.2, seed)?;
        let plain = Split::random(&data, &seven_segments()?, UNSEEN, 0.2, seed)?;
        for (name, settings) in methods(args.quick) {
            // Attribute prediction reads 0 and 1.
            let split = if ["DAP", "IAP"].contains(&name) { &plain } else { &split };
            let settings: Vec<&dyn Method> = settings.iter().map(AsRef::as_ref).collect();
            let model = report.run(name, &settings, split, seed)?;
            if name == "ESZSL" && shown.is_none() {
                shown = Some((ZeroShot::new(model, split.unseen.classes.clone()), split.clone()));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    println!("{report}");
    println!("{}", generalised(&report)?);
    for trials in [&report.zero_shot, &report.generalised] {
        page.heading(&format!("{}: {}", trials.data, trials.metric));
        page.table(&table(trials)?);
        for way in trials.ways.iter().skip(1) {
            rows.push(Row::of(&format!("zero-shot: {}", way.name), trials, &way.name)?);
        }
    }
    if let Some((classifier, split)) = shown {
        draw(&mut page, &classifier, &split)?;
        at_run_time(classifier, &split)?;
    }
    let data = args.data.clone().unwrap_or_else(|| "target/data".into());
    if let Some(files) = imagenet::Files::find(&models, &data) {
        for trials in imagenet::compare(&files, args.seeds())? {
            println!("\n{trials}");
            page.heading(&format!("{}: {}", trials.data, trials.metric));
            page.table(&table(&trials)?);
            for way in trials.ways.iter().skip(1) {
                rows.push(Row::of(&format!("zero-shot: {}", way.name), &trials, &way.name)?);
            }
        }
    } else {
        println!("ImageNet's classes are left out: tools/fetch-models and tools/fetch-data");
    }
    let path = Path::new("target/zero_shot/index.html");
    page.save(path)?;
    println!("Predictions and why: {}", path.display());
    if let Some(path) = &args.json {
        rows::write(path, &rows)?;
    }
    Ok(())
}

fn digits() -> Outcome<Dataset> {
    let digits = samples::digits();
    Ok(digits.with_features(&digits.features().flatten(1, -1)?)?)
}

/// Segments as 1 and -1, at length 1: dark ones count too.
fn signed() -> Outcome<Signatures> {
    let lit = seven_segments()?;
    let table = lit.table().mul_scalar(2.0).add_scalar(-1.0);
    Ok(Signatures::new(lit.names().to_vec(), table)?
        .with_attributes(lit.attributes().to_vec())?
        .unit()?)
}

/// Every method with the settings to choose among.
fn methods(quick: bool) -> Vec<(&'static str, Vec<Box<dyn Method>>)> {
    fn boxed<M: Method + 'static>(all: impl IntoIterator<Item = M>) -> Vec<Box<dyn Method>> {
        all.into_iter().map(|m| Box::new(m) as Box<dyn Method>).collect()
    }
    let powers = [0.01, 0.1, 1.0, 10.0, 100.0];
    let epochs = if quick { 3 } else { 20 };
    let ranking = |r: Ranking| boxed([Ranking { epochs, ..r }]);
    let sae = |direction| boxed(powers.map(|lambda| Sae { lambda, direction }));
    vec![
        ("DAP", boxed([Dap::default()])),
        ("IAP", boxed([Iap::default()])),
        ("ConSE", boxed([Conse::default()])),
        ("ESZSL", boxed(Eszsl::grid())),
        ("SAE, to signatures", sae(Direction::FeatureToSemantic)),
        ("SAE, to features", sae(Direction::SemanticToFeature)),
        ("prototype regression", boxed(powers.map(|alpha| PrototypeRegression { alpha }))),
        ("DeViSE", ranking(Ranking::devise())),
        ("SJE", ranking(Ranking::sje())),
        ("ALE", ranking(Ranking::ale())),
        (
            "bilinear, cross entropy",
            ranking(Ranking::new(RankingLoss::CrossEntropy { scale: 10.0 })),
        ),
        ("LatEm", ranking(Ranking::latem(3))),
        ("feature VAE", boxed([FeatureVae { epochs, hidden: 64, lr: 3e-3, ..Default::default() }])),
    ]
}

fn table(trials: &Trials) -> Outcome<Table> {
    let mut table = Table::new(["method", "result", "against the first"]);
    for (i, way) in trials.ways.iter().enumerate() {
        let verdict = match i {
            0 => "-".to_owned(),
            _ => trials.verdict(&way.name)?.to_string(),
        };
        table.row([way.name.clone(), trials.summary(&way.name)?.to_string(), verdict]);
    }
    Ok(table)
}

/// Seen, unseen and harmonic accuracy of every method, before and after
/// calibration.
fn generalised(report: &Report) -> Outcome<String> {
    let mut text = "all ten digits to choose from (seen / unseen / harmonic mean)\n".to_owned();
    for way in report.zero_shot.ways.iter().skip(1) {
        let of: Vec<_> = report.outcomes.iter().filter(|o| o.method == way.name).collect();
        let mean = |f: &dyn Fn(&transfer_learning::zeroshot::Outcome) -> f64| -> Outcome<f64> {
            Ok(Summary::of(&of.iter().map(|o| f(o)).collect::<Vec<_>>())?.mean)
        };
        text += &format!(
            "  {:<24} plain {:.2} / {:.2} / {:.2}   calibrated {:.2} / {:.2} / {:.2}   area {:.2}\n",
            way.name,
            mean(&|o| o.plain.seen)?,
            mean(&|o| o.plain.unseen)?,
            mean(&|o| o.plain.harmonic)?,
            mean(&|o| o.calibrated.seen)?,
            mean(&|o| o.calibrated.unseen)?,
            mean(&|o| o.calibrated.harmonic)?,
            mean(&|o| o.area)?,
        );
    }
    Ok(text)
}

/// Why one sample was called what it was, and a class that comes while the
/// classifier runs.
fn at_run_time(mut classifier: ZeroShot, split: &Split) -> Outcome {
    let test = &split.unseen;
    let x = test.features.select(0, 0)?;
    let said = classifier.classify(&x.unsqueeze(0)?)?.first().copied().unwrap_or("").to_owned();
    let why = classifier.explain(&x, &said)?;
    println!(
        "an unseen {} is called {said}, score {:.3}:",
        test.classes.names()[test.labels[0]],
        why.score
    );
    for (segment, part) in &why.parts {
        println!("  {part:+.3}  {segment}");
    }
    let seen = split.train.signatures();
    let before = classifier.classes().len();
    classifier.add(&seen.names()[0], &seen.table().select(0, 0)?.to_vec())?;
    println!(
        "`{}` added without training: {before} classes, now {}",
        seen.names()[0],
        classifier.classes().len()
    );
    Ok(())
}

/// Samples of unseen digits, what was said of them, and the attribute that
/// counted most.
fn draw(page: &mut Page, classifier: &ZeroShot, split: &Split) -> Outcome {
    page.heading("Unseen digits, what ESZSL says, and the segment that counted most");
    let test = &split.unseen;
    let mut cards = Vec::new();
    for i in (0..test.labels.len()).step_by((test.labels.len() / 24).max(1)) {
        let x = test.features.select(0, i)?;
        let said = classifier.classify(&x.unsqueeze(0)?)?.first().copied().unwrap_or("");
        let truth = &test.classes.names()[test.labels[i]];
        let why = classifier.explain(&x, said)?;
        let most = why.parts.first().map_or(String::new(), |(name, _)| name.clone());
        let lines = vec![(format!("{said} (is {truth})"), said == truth), (most, true)];
        cards.push(Card { pixels: x.to_vec(), width: 8, lines });
    }
    page.images(&cards);
    Ok(())
}
