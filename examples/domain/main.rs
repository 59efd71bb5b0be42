//! Domain adaptation: handwritten digits of two origins, labels for one.
//!
//! Every method gets labelled digits of one origin and unlabelled ones of the
//! other. The first row has no adaptation, the last has target labels: what
//! could be reached. What the validators choose, they choose without labels.
//!
//! `cargo run --release --example domain`
#![allow(clippy::print_stdout, unreachable_pub)]

#[path = "../shared/mod.rs"]
mod shared;

use clap::Parser;
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
use std::{path::Path, time::Instant};
use transfer_learning::{
    dann::{Adaptation, Classifier, Method, Report, proxy_a_distance, shift_test},
    data::{Dataset, samples},
    nn::{
        Act, BatchNorm2d, Conv2d, Ctx, Flatten, Forward, Linear, MaxPool2d, Sequential,
        metric::accuracy,
    },
    tensor::{Conv, Pool},
};

const METHODS: [(&str, Method); 10] = [
    ("source only", Method::SourceOnly),
    ("AdaBN", Method::AdaBn),
    ("DANN", Method::Dann),
    ("CDAN+E", Method::Cdan { entropy: true }),
    ("DAN", Method::Dan),
    ("JAN", Method::Jan),
    ("Deep CORAL", Method::DeepCoral),
    ("MCC", Method::Mcc),
    ("DeepJDOT", Method::DeepJdot),
    ("SHOT", Method::Shot),
];

fn main() -> Outcome {
    let args = Args::parse();
    let (uci, (mnist, mnist_test)) = (samples::digits(), samples::mnist_8x8());
    let (uci_pool, uci_test) = halves(&uci)?;
    let settings = [
        ("UCI digits -> MNIST 8x8", &uci, &mnist, &mnist_test),
        ("MNIST 8x8 -> UCI digits", &mnist, &uci_pool, &uci_test),
    ];
    let seeds = args.seeds();
    let epochs = if args.quick { 2 } else { 10 };
    let bar = bar::over(settings.len() * seeds as usize);
    let mut page = Page::new("Domain adaptation: digits of two origins");
    let mut rows = Vec::new();
    for (name, source, target, test) in settings {
        let flat = |d: &Dataset| d.features().flatten(1, -1);
        let shift = shift_test(&flat(source)?, &flat(target)?, 100, 0)?;
        let (distance, told) = proxy_a_distance(&flat(source)?, &flat(target)?, 0)?;
        let mut report = Report::new(name);
        for seed in 0..seeds {
            for (label, method) in METHODS {
                let start = Instant::now();
                let mut model = classifier(seed);
                let run = Adaptation::new(method).epochs(epochs).seed(seed);
                let run = run.fit(&mut model, source, target)?;
                let seconds = start.elapsed().as_secs_f64();
                report.add(seed, label, &run, test_accuracy(&model, test)?, seconds);
            }
            let start = Instant::now();
            let mut bound = classifier(seed);
            let run = Adaptation::new(Method::SourceOnly).epochs(epochs).seed(seed);
            run.fit(&mut bound, target, source)?;
            let seconds = start.elapsed().as_secs_f64();
            let reached = test_accuracy(&bound, test)?;
            report.trials.push("with target labels (bound)", reached, seconds);
            bar.inc(1);
        }
        println!("\n{report}");
        let facts = format!(
            "Before: squared discrepancy {:.4} (p = {:.3}), proxy A-distance {distance:.2}: a \
             linear classifier tells the domains apart in {:.1}% of cases.",
            shift.mmd,
            shift.p,
            100.0 * told
        );
        println!("{facts}");
        page.heading(name);
        page.text(&facts);
        let mut table = Table::new(["method", "target accuracy", "against source only"]);
        for (i, way) in report.trials.ways.iter().enumerate() {
            let verdict = match i {
                0 => "-".to_owned(),
                _ => report.trials.verdict(&way.name)?.to_string(),
            };
            let summary = report.trials.summary(&way.name)?.to_string();
            table.row([way.name.clone(), summary, verdict]);
        }
        page.table(&table);
        for (label, _) in METHODS.iter().skip(1) {
            rows.push(Row::of(&format!("domain adaptation: {label}"), &report.trials, label)?);
        }
    }
    bar.finish_and_clear();
    let path = Path::new("target/domain/index.html");
    page.save(path)?;
    println!("\nTables: {}", path.display());
    if let Some(path) = &args.json {
        rows::write(path, &rows)?;
    }
    Ok(())
}

/// A pool and a test half, the same for all seeds.
fn halves(data: &Dataset) -> Outcome<(Dataset, Dataset)> {
    Ok(data.split(0.5, &mut ChaCha8Rng::seed_from_u64(2026))?)
}

fn classifier(seed: u64) -> Classifier<Sequential> {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let mut encoder = Sequential::new();
    for (from, to) in [(1, 16), (16, 32)] {
        encoder = encoder
            .push(Conv2d::new(from, to, 3, rng).options(Conv::new().padding(1)).without_bias())
            .push(BatchNorm2d::new(to))
            .push(Act::Relu)
            .push(MaxPool2d::new(Pool::new(2)));
    }
    let encoder = encoder.push(Flatten).push(Linear::new(128, 64, rng)).push(Act::Relu);
    Classifier { encoder, head: Linear::new(64, 10, rng) }
}

fn test_accuracy<M: Forward>(model: &M, data: &Dataset) -> Outcome<f64> {
    let logits = model.forward(data.features(), &mut Ctx::eval())?;
    Ok(accuracy(&logits, &data.labels()?.into())?)
}
