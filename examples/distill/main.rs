//! A large network's knowledge in a small one.
//!
//! A convolutional network learns garments from 1500 labelled pictures. Two
//! small students, a perceptron and a tiny convolutional network, learn the same
//! pictures from labels alone and in several ways from the teacher. Then the
//! cases in which a teacher has more to give: most pictures have no label, or a
//! whole class is missing.
//!
//! `cargo run --release --example distill`
#![allow(clippy::print_stdout, unreachable_pub)]

mod labels;
mod nets;
#[path = "../shared/mod.rs"]
mod shared;

use clap::Parser;
use shared::{Outcome, args::Args, bar, page::Page, rows, rows::Row, table::Table};
use std::path::Path;
use transfer_learning::{
    data::samples,
    distill::{
        Distill, DistillReport, Measured, NO_TEACHER, Precision, Relation, Soft, compare, outputs,
        round_weights,
    },
    nn::metric::Trials,
};

fn main() -> Outcome {
    let args = Args::parse();
    let seeds = args.seeds();
    let (train, test) = samples::fashion_mnist();
    let epochs = if args.quick { 2 } else { 20 };
    let recipe = |soft| Distill::new(soft).budget(epochs, 64);
    let kd = recipe(Soft::Kd { temperature: 4.0 });

    let bar = bar::over(4);
    bar.set_message("teacher");
    let mut teacher = nets::teacher(1000);
    let nobody = nets::teacher(0);
    kd.without_teacher().budget(epochs, 64).seed(1000).fit(&nobody, &mut teacher, &train)?;
    bar.inc(1);

    let outputs_only = [
        ("KD", kd.clone()),
        ("standardised KD", recipe(Soft::Standardised { temperature: 2.0 })),
        ("DKD", recipe(Soft::Dkd { alpha: 1.0, beta: 2.0, temperature: 4.0 }).warmup(0.25)),
        ("DIST", recipe(Soft::Dist { beta: 1.0, gamma: 1.0, temperature: 1.0 }).weights(1.0, 2.0)),
    ];
    bar.set_message("perceptron");
    let name = "garments, CNN to perceptron";
    let mlp = compare(name, &outputs_only, &teacher, nets::perceptron, [&train, &test], seeds)?;
    bar.inc(1);

    let hinted = |relation, weight| kd.clone().hint("block2", "block2", relation, weight);
    let with_features = [
        ("KD", kd.clone()),
        ("KD + attention transfer", hinted(Relation::Attention, 100.0)),
        ("KD + FitNets", hinted(Relation::Features, 1.0)),
        ("KD + similarity preserving", hinted(Relation::Similarity, 100.0)),
    ];
    bar.set_message("tiny CNN");
    let name = "garments, CNN to tiny CNN";
    let mut tiny = compare(name, &with_features, &teacher, nets::tiny, [&train, &test], seeds)?;
    bar.inc(1);

    bar.set_message("few labels");
    let few = labels::few(&teacher, [&train, &test], epochs, seeds)?;
    let missing = labels::without_threes(epochs, seeds)?;
    bar.inc(1);
    bar.finish_and_clear();

    // The last step to a small file: the distilled student in fewer bits.
    let said = outputs(&teacher, test.features())?;
    for (name, precision) in
        [("KD, f16 weights", Precision::F16), ("KD, int8 weights", Precision::Int8)]
    {
        let mut student = nets::tiny(seeds - 1);
        kd.clone().seed(seeds - 1).fit(&teacher, &mut student, &train)?;
        let bytes = round_weights(&mut student, precision)?;
        let measured = Measured::of(name, &student, &test, &said)?;
        tiny.compression.networks.push(Measured { bytes, ..measured });
    }

    let mut page = Page::new("A large network's knowledge in a small one");
    page.text(
        "A convolutional network learned garments from 1500 labelled pictures. Small students \
         learn the same pictures from labels alone (the baseline) and from the teacher: the same \
         start, order and number of steps for each seed. The test is paired over seeds; the \
         teacher is one and the same.",
    );
    let mut all = Vec::new();
    for report in [&mlp, &tiny] {
        println!("{report}");
        let data = &report.trials.data;
        page.heading(data);
        page.table(&quality(&report.trials)?);
        page.text("How often a student names the teacher's class:");
        page.table(&quality(&report.agreement)?);
        page.table(&size(report));
        for way in &report.trials.ways {
            if way.name != NO_TEACHER {
                all.push(Row::of("distillation", &report.trials, &way.name)?);
            }
        }
    }
    for trials in [&few, &missing] {
        println!("{trials}");
        page.heading(&trials.data);
        page.table(&quality(trials)?);
        for way in trials.ways.iter().filter(|w| w.name != NO_TEACHER) {
            all.push(Row::of("distillation", trials, &way.name)?);
        }
    }
    let path = Path::new("target/distill/index.html");
    page.save(path)?;
    println!("Tables as a page: {}", path.display());
    if let Some(path) = &args.json {
        rows::write(path, &all)?;
    }
    Ok(())
}

fn quality(trials: &Trials) -> Outcome<Table> {
    let mut table = Table::new(["way", &trials.metric, "gain", "p", "verdict"]);
    for way in &trials.ways {
        let name = &way.name;
        let (gain, p, verdict) = if name == NO_TEACHER {
            Default::default()
        } else {
            let c = trials.against_baseline(name)?;
            let verdict = trials.verdict(name)?.to_string();
            (format!("{:+.4}", c.difference), format!("{:.4}", c.p), verdict)
        };
        let result = format!("{:.4}", trials.summary(name)?);
        table.row([name.clone(), result, gain, p, verdict]);
    }
    Ok(table)
}

fn size(report: &DistillReport) -> Table {
    let mut table = Table::new([
        "network",
        "parameters",
        "bytes",
        "MACs",
        "ms, 1",
        "ms, 32",
        "accuracy",
        "ECE",
    ]);
    for m in &report.compression.networks {
        table.row([
            m.name.clone(),
            m.parameters.to_string(),
            m.bytes.to_string(),
            m.macs.map_or("unknown".to_owned(), |x| x.to_string()),
            format!("{:.3}", m.latency_1),
            format!("{:.3}", m.latency_32),
            format!("{:.4}", m.accuracy),
            format!("{:.3}", m.calibration),
        ]);
    }
    table
}
