//! Domain adaptation: labels in one domain, a model that works in another.
//!
//! Every method gets labelled samples of one domain and unlabelled ones of the
//! other. The first row has no adaptation, the last has target labels: what could
//! be reached. Methods have their default weights; epochs are chosen without target
//! labels.
//!
//! - MNIST and UCI's digits at 8x8: all methods one way, some the other
//! - upright digits to turned ones, digits on black to digits on photographs
//! - garments with noise, blur and little contrast: methods that adapt while they
//!   predict
//! - two moons that are turned, as a picture
//! - sentiment of texts of three kinds on vectors of all-MiniLM-L6-v2, where
//!   `tools/fetch-models` and `tools/fetch-data` have been: shallow methods and networks
//!
//! `cargo run --release --example domain_adaptation`; `--long` trains three times as long,
//! which most methods need; with `--data target/data` on
//! 10,000 images of the full sets that `tools/fetch-data` brings.
#![allow(clippy::print_stdout, unreachable_pub)]

#[path = "../shared/mod.rs"]
mod shared;

mod compare;
mod data;
mod net;
mod picture;
mod planar;
mod test_time;
mod text;

use clap::Parser;
use compare::{BOUND, Compared, TWICE, Way, compare};
use data::Pair;
use shared::{
    Outcome,
    args::Args,
    bar,
    page::Page,
    rows::{self, Row},
    table::Table,
};
use std::path::{Path, PathBuf};
use transfer_learning::{
    dann::{Embedding, Method, MmdForm, Projection, Transfer, diagnose},
    nn::metric::Trials,
};

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    shared: Args,
    /// Only the experiment of this name: digits, rotated, textures,
    /// garments, moons, text.
    #[arg(long, value_name = "NAME", default_value = "")]
    only: String,
    /// Train three times as long: what the tables in docs/ have.
    #[arg(long)]
    long: bool,
    /// Print what weights information maximisation chooses, and end.
    #[arg(long)]
    choose: bool,
}

/// What is shown in pictures and class by class.
const SHOWN: &str = "SHOT";

const SOME: [Method; 4] = [
    Method::AdaBn,
    Method::Cdan { entropy: true, random: None },
    Method::Mcc { temperature: 2.5 },
    Method::Shot,
];

/// Every method for one source and the same classes.
fn every_method() -> Vec<Method> {
    let mut all: Vec<Method> = Method::CLOSED_SET.into_iter().skip(1).collect();
    all.push(Method::Dsbn);
    all
}

/// What is done in all experiments, and where it goes.
struct Work {
    seeds: u64,
    quick: bool,
    long: bool,
    only: String,
    data: Option<PathBuf>,
    page: Page,
    rows: Vec<Row>,
    bar: indicatif::ProgressBar,
}

impl Work {
    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || name == self.only
    }

    fn epochs(&self, full: usize) -> usize {
        match (self.quick, self.long) {
            (true, _) => 1,
            (_, true) => 3 * full,
            _ => full,
        }
    }

    fn folder(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    fn trials(&mut self, trials: &Trials) -> Outcome {
        println!("\n{trials}");
        let mut table = Table::new(["method", "accuracy", "against source only"]);
        for (i, way) in trials.ways.iter().enumerate() {
            let verdict =
                if i == 0 { "-".to_owned() } else { trials.verdict(&way.name)?.to_string() };
            let summary = trials.summary(&way.name)?;
            let summary = format!("{:.3} \u{b1} {:.3}", summary.mean, summary.ci95);
            table.row([way.name.clone(), summary, verdict]);
        }
        self.page.table(&table);
        for way in trials.ways.iter().skip(1) {
            let technique = format!("domain adaptation: {}", way.name);
            self.rows.push(Row::of(&technique, trials, &way.name)?);
        }
        Ok(())
    }

    fn pair(&mut self, pair: &Pair, ways: &[Way]) -> Outcome<Compared> {
        self.bar.set_message(pair.name.clone());
        let compared = compare(pair, ways, self.seeds)?;
        self.bar.inc(1);
        println!("\n{}", compared.report);
        for way in compared.report.trials.ways.iter().skip(1) {
            let gap = compared.report.gap_closed(&way.name, BOUND)?;
            println!("  {:<28} closes {:.0}% of the gap", way.name, 100.0 * gap);
        }
        self.page.heading(&pair.name);
        compared.write(&mut self.page)?;
        self.rows.extend(compared.rows()?);
        Ok(compared)
    }

    /// What the features of the first seed look like before and after.
    fn look(&mut self, pair: &Pair, compared: &Compared) -> Outcome {
        let (before, said_before) = compared.model("source only")?;
        let (after, said_after) = compared.model(SHOWN)?;
        for (name, model) in [("source only", before), (SHOWN, after)] {
            let found = diagnose(model, &pair.source, &pair.target, 1, 0)?;
            let text = format!("Features of {name}: {found}.");
            println!("{text}");
            self.page.text(&text);
        }
        let transfer = Transfer::new(said_before, said_after, pair.test.labels()?, 10)?;
        println!("{SHOWN} against source only, class by class:\n{transfer}");
        self.page.subheading(&format!("{SHOWN}, class by class"));
        let mut table = Table::new(["class", "source only", SHOWN, "p"]);
        for (class, of) in transfer.classes.iter().enumerate() {
            let part = |x: f64| format!("{x:.3}");
            table.row([class.to_string(), part(of.before), part(of.after), part(of.p)]);
        }
        self.page.table(&table);
        let harmed = match transfer.harmed().as_slice() {
            [] => "No class is recognised less often than before, beyond chance.".to_owned(),
            classes => format!("Classes recognised less often than before: {classes:?}."),
        };
        self.page.text(&harmed);
        self.page.subheading("Features before and after");
        self.page.text(
            "Discs are source samples, crosses target samples, coloured by class; the target's \
             are the predicted ones. Target labels are not used.",
        );
        let most = if self.quick { 100 } else { 300 };
        let tsne = Projection::TSne { perplexity: 30.0 };
        for (name, projection) in [("t-SNE", tsne), ("PCA", Projection::Pca)] {
            let of =
                |model| Embedding::of(model, &pair.source, &pair.target, (projection, most, 1));
            let (a, b) = (of(before)?, of(after)?);
            let titles = [format!("{name}: source only"), format!("{name}: {SHOWN}")];
            let svg = picture::side_by_side([(titles[0].as_str(), &a), (titles[1].as_str(), &b)])?;
            self.page.svg(&svg, &format!("{name} of features before and after {SHOWN}"));
        }
        Ok(())
    }

    fn digits(&mut self) -> Outcome {
        let [there, back] = data::digits(self.folder())?;
        let epochs = self.epochs(10);
        let mut ways = Way::all(&every_method(), epochs);
        let mut twice = Way::of(Method::SourceOnly, 2 * epochs);
        twice.name = TWICE;
        ways.insert(1, twice);
        ways.push(Way::refined(Method::Dann, "DANN, refined", epochs));
        ways.push(Way::refined(SOME[1], "CDAN+E, refined", epochs));
        ways.push(Way::refined(Method::Dsbn, "DSBN, refined", epochs));
        let compared = self.pair(&there, &ways)?;
        self.look(&there, &compared)?;
        let some = [
            &SOME[..],
            &[
                Method::Dann,
                Method::Dan { form: MmdForm::Unbiased },
                Method::Mdd { gamma: 4.0 },
                Method::Mcd { steps: 4 },
                Method::Afn { radius: None },
                Method::DeepJdot,
                Method::Dsbn,
            ],
        ]
        .concat();
        let mut ways = Way::all(&some, epochs);
        ways.push(Way::refined(SOME[1], "CDAN+E, refined", epochs));
        self.pair(&back, &ways)?;
        Ok(())
    }

    fn images(&mut self) -> Outcome {
        if self.wants("rotated") {
            for degrees in [20.0, 40.0, 60.0] {
                let pair = data::rotated(self.folder(), degrees)?;
                let ways = Way::all(&[SOME[0], SOME[2], SOME[3]], self.epochs(8));
                self.pair(&pair, &ways)?;
            }
        }
        if self.wants("textures") {
            let Some(pair) = data::textured(self.folder())? else {
                println!("textures skipped: the photographs beside tl-models' tests are not here");
                return Ok(());
            };
            let methods = [&SOME[..], &[Method::FixMatch { confidence: 0.95 }]].concat();
            self.pair(&pair, &Way::all(&methods, self.epochs(8)))?;
        }
        Ok(())
    }

    fn garments(&mut self) -> Outcome {
        let pairs = data::corrupted(self.folder())?;
        let epochs = self.epochs(15);
        let models = test_time::source_models(&pairs[0], epochs, self.seeds)?;
        for pair in &pairs {
            self.bar.set_message(pair.name.clone());
            self.page.heading(&pair.name);
            let trials = test_time::compare(pair, &models, epochs)?;
            self.trials(&trials)?;
            self.bar.inc(1);
        }
        Ok(())
    }

    fn texts(&mut self) -> Outcome {
        let sets = match text::sets(self.folder(), self.quick)? {
            text::Found::Sets(sets) => sets,
            text::Found::Missing(what) => {
                println!("text skipped: {what}");
                return Ok(());
            }
        };
        for source in &sets {
            for target in sets.iter().filter(|t| t.name != source.name) {
                let name = format!("Sentiment, {} -> {}", source.name, target.name);
                self.bar.set_message(name.clone());
                let trials = text::compare(source, target, self.epochs(30), self.seeds)?;
                self.page.heading(&name);
                self.trials(&trials)?;
            }
        }
        Ok(())
    }

    fn moons(&mut self) -> Outcome {
        for degrees in [20.0, 40.0, 60.0] {
            let name = format!("Two moons, turned by {degrees} degrees");
            self.bar.set_message(name.clone());
            let (trials, svg) = planar::run(degrees, self.epochs(60), self.seeds)?;
            self.page.heading(&name);
            self.trials(&trials)?;
            self.page.text(
                "Discs: the source, coloured by class. Crosses: the target, without labels. The \
                 ground shows what the model says.",
            );
            self.page.svg(&svg, &name);
            self.bar.inc(1);
        }
        Ok(())
    }
}

fn main() -> Outcome {
    let flags = Flags::parse();
    let args = flags.shared;
    if flags.choose {
        let [there, _] = data::digits(args.data.as_deref())?;
        return compare::choose_weights(&there, &Method::CLOSED_SET[1..], 10);
    }
    let mut work = Work {
        seeds: args.seeds(),
        quick: args.quick,
        long: flags.long,
        only: flags.only,
        data: args.data,
        page: Page::new("Domain adaptation"),
        rows: Vec::new(),
        bar: bar::over(12),
    };
    if work.wants("digits") {
        work.digits()?;
    }
    work.images()?;
    if work.wants("garments") {
        work.garments()?;
    }
    if work.wants("moons") {
        work.moons()?;
    }
    if work.wants("text") {
        work.texts()?;
    }
    work.bar.finish_and_clear();
    let path = Path::new("target/domain_adaptation/index.html");
    work.page.save(path)?;
    println!("\nTables and pictures: {}", path.display());
    if let Some(path) = &args.json {
        rows::write(path, &work.rows)?;
    }
    Ok(())
}
