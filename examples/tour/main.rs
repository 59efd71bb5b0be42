//! All eight techniques on embedded real data, each beside an honest baseline.
//!
//! Feature extraction and fine-tuning: a network learns handwritten digits of
//! one origin, then meets digits of another origin with few labels. Then each
//! other technique on the question that it is made for: no labels in the new
//! domain, a second task, a teacher, many samples without labels, classes known
//! by a description, new classes from one sample.
//!
//! `cargo run --release --example tour`
#![allow(clippy::print_stdout, unreachable_pub)]

mod experiment;
mod learn;
mod net;
mod report;
#[path = "../shared/mod.rs"]
mod shared;
mod technique;

use clap::Parser;
use shared::{
    Outcome,
    args::Args,
    bar,
    chart::{self, Gain},
    page::Page,
    parallel,
    rows::{self, Row},
    table::Table,
};
use std::{cmp::Reverse, path::Path};
use technique::{PARTS, Section};

fn main() -> Outcome {
    let args = Args::parse();
    let shots: &[usize] = if args.quick { &[2, 5] } else { &[1, 2, 5, 10, 20] };
    let seeds = args.seeds();
    let domains = experiment::domains()?;
    let bar = bar::over(domains.len() * seeds as usize + PARTS.len());
    let jobs: Vec<_> = domains.iter().flat_map(|d| (0..seeds).map(move |seed| (d, seed))).collect();
    let mut runs = parallel::run(&jobs, |(domain, seed)| {
        bar.set_message(domain.name.clone());
        let run = experiment::run(domain, shots, *seed, args.quick)?;
        bar.inc(1);
        Ok(run)
    })?
    .into_iter();
    let all: Vec<_> = domains
        .iter()
        .map(|domain| (domain, runs.by_ref().take(seeds as usize).collect()))
        .collect();
    let mut parts: Vec<_> = PARTS.iter().enumerate().collect();
    parts.sort_by_key(|(_, part)| Reverse(part.seconds));
    let mut sections = parallel::run(&parts, |(place, part)| {
        bar.set_message(part.name);
        let section = (part.run)(seeds, args.quick)?;
        bar.inc(1);
        Ok((*place, section))
    })?;
    sections.sort_by_key(|(place, _)| *place);
    let sections: Vec<_> = sections.into_iter().map(|(_, section)| section).collect();
    bar.finish_and_clear();

    let report = report::Report::new(&all, shots)?;
    report.print();
    let mut rows = report.rows(seeds);
    let mut gains = report.gains();
    for section in &sections {
        println!("\n{}\n{}", section.name, section.trials);
        let trials = &section.trials;
        let baseline = trials.baseline().map_or("", |way| way.name.as_str());
        let sides = [trials.summary(baseline)?, trials.summary(section.way)?];
        gains.push(Gain { name: format!("{}, {}", section.name, trials.data), sides });
        for way in trials.ways.iter().skip(1) {
            rows.push(Row::of(section.name, trials, &way.name)?);
        }
    }

    let mut page = Page::new("Eight techniques of transfer learning");
    page.text(&format!(
        "Each beside an honest baseline, on real data that comes with the program. Bars are means \
         over {seeds} seeds, lines their 95% intervals: without the technique (grey) and with it \
         (blue). Seconds are those of a run on one core, with others beside it.",
    ));
    let picture = chart::gains(&gains)?;
    page.svg(&picture, "accuracy without and with each technique");
    report.draw(&mut page)?;
    for section in &sections {
        draw(&mut page, section)?;
    }
    let path = Path::new("target/tour/index.html");
    page.save(path)?;
    std::fs::write(path.with_file_name("gains.svg"), picture)?;
    println!("\nCurves, samples and predictions: {}", path.display());
    if let Some(path) = &args.json {
        rows::write(path, &rows)?;
    }
    Ok(())
}

fn draw(page: &mut Page, section: &Section) -> Outcome {
    let trials = &section.trials;
    let mut title = section.name.to_owned();
    title[..1].make_ascii_uppercase();
    page.heading(&title);
    page.text(section.story);
    let mut table = Table::new(["way", &trials.metric, "gain", "p", "seconds/seed"]);
    for (i, way) in trials.ways.iter().enumerate() {
        let (gain, p) = match i {
            0 => (String::new(), String::new()),
            _ => {
                let c = trials.against_baseline(&way.name)?;
                (format!("{:+.3}", c.difference), format!("{:.4}", c.p))
            }
        };
        let seconds = way.seconds.iter().sum::<f64>() / way.seconds.len().max(1) as f64;
        let result = trials.summary(&way.name)?.to_string();
        table.row([way.name.clone(), result, gain, p, format!("{seconds:.2}")]);
    }
    page.table(&table);
    page.code(&section.code);
    page.text(&format!("Test samples and what \u{201c}{}\u{201d} says of them:", section.way));
    page.images(&section.cards);
    Ok(())
}
