//! What becomes a page and rows.

use crate::shared::{
    Outcome,
    args::Args,
    page::Page,
    rows::{self, Row},
    table::Table,
};
use std::path::Path;
use transfer_learning::{
    nn::metric::{Summary, Trials},
    zeroshot::Report,
};

/// All results, in a page and as rows.
pub struct Results {
    pub page: Page,
    rows: Vec<Row>,
}

impl Results {
    pub fn new(title: &str) -> Self {
        Self { page: Page::new(title), rows: Vec::new() }
    }

    /// A table, and a row for each way but the baseline.
    pub fn add(&mut self, technique: &str, trials: &Trials) -> Outcome {
        self.page.heading(&format!("{}: {}", trials.data, trials.metric));
        self.page.table(&table(trials)?);
        for way in trials.ways.iter().skip(1) {
            self.rows.push(Row::of(&format!("{technique}: {}", way.name), trials, &way.name)?);
        }
        Ok(())
    }

    /// Prints a report of attribute methods and adds it.
    pub fn add_report(&mut self, report: &Report) -> Outcome {
        println!("{report}");
        println!("{}", generalised(report)?);
        self.add("zero-shot", &report.zero_shot)?;
        self.add("zero-shot", &report.generalised)
    }

    pub fn save(self, args: &Args) -> Outcome {
        let path = Path::new("target/zero_shot/index.html");
        self.page.save(path)?;
        println!("Predictions and why: {}", path.display());
        match &args.json {
            Some(path) => rows::write(path, &self.rows),
            None => Ok(()),
        }
    }
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
    let mut text = "all classes to choose from (seen / unseen / harmonic mean)\n".to_owned();
    for way in &report.zero_shot.ways {
        let of: Vec<_> = report.outcomes.iter().filter(|o| o.method == way.name).collect();
        if of.is_empty() {
            continue; // chance and majority
        }
        let mean = |f: &dyn Fn(&transfer_learning::zeroshot::Outcome) -> f64| -> Outcome<f64> {
            Ok(Summary::of(&of.iter().map(|o| f(o)).collect::<Vec<_>>())?.mean)
        };
        text += &format!(
            "  {:<28} plain {:.2} / {:.2} / {:.2}   calibrated {:.2} / {:.2} / {:.2}   area {:.2}\n",
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
