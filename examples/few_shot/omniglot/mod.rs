//! Omniglot (Lake et al. 2015): characters of alphabets that training never saw.
//!
//! A long run. What is trained and what is tested is kept in a folder; stopped
//! and started again, the run goes on where it was.

mod data;
mod jobs;

pub use jobs::Method;

use crate::{
    draw,
    shared::{
        Outcome,
        args::Args,
        page::Page,
        rows::{self, Row, Side},
        table::Table,
    },
};
use jobs::Job;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};
use transfer_learning::{
    data::Dataset,
    maml::{Both, Evaluation},
    nn::metric::Summary,
};

/// Classes in a task and samples of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    pub way: usize,
    pub shot: usize,
}

const SETTINGS: [Setting; 3] =
    [Setting { way: 5, shot: 1 }, Setting { way: 5, shot: 5 }, Setting { way: 20, shot: 1 }];

/// What all methods share.
pub struct World {
    practice: Dataset,
    unseen: Dataset,
    /// Where training and results are kept.
    folder: PathBuf,
    /// Tasks in a test.
    episodes: usize,
    quick: bool,
}

impl World {
    fn steps(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(100) } else { full }
    }
}

/// What a test gave, under one protocol or both.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tested {
    inductive: Evaluation,
    transductive: Option<Evaluation>,
}

impl From<Both> for Tested {
    fn from(Both { inductive, transductive }: Both) -> Self {
        Self { inductive, transductive: Some(transductive) }
    }
}

impl From<Evaluation> for Tested {
    fn from(inductive: Evaluation) -> Self {
        Self { inductive, transductive: None }
    }
}

impl Tested {
    /// After each inner step, where there are some.
    fn print(&self) {
        match self.transductive.clone() {
            Some(transductive) => {
                println!("{}", Both { inductive: self.inductive.clone(), transductive });
            }
            None => println!("{}", self.inductive.last()),
        }
    }
}

/// What is kept: "method, 5-way 1-shot" (and the seed, but for the first) to the
/// result and seconds.
type Results = BTreeMap<String, (Tested, f64)>;

/// Trains and tests these methods, all if none is named. An alphabet that is held out
/// is not practised on, and the test is on it instead of Katakana.
pub fn run(data: &Path, only: &[Method], held_out: Option<&str>, args: &Args) -> Outcome {
    let quick = args.quick;
    let train = data.join("images_train");
    let practice = data::read(&train, |name| Some(name) != held_out)?;
    let unseen = match held_out {
        Some(_) => data::read(&train, |name| Some(name) == held_out)?,
        None => data::read(&data.join("images_katakana"), |_| true)?,
    };
    println!(
        "practice: {} characters of {} alphabets; test: {} characters of {}",
        practice.data.classes(),
        practice.alphabets(),
        unseen.data.classes(),
        unseen.alphabets(),
    );
    let mut folder = if quick { "omniglot_quick" } else { "omniglot" }.to_owned();
    if let Some(name) = held_out {
        folder = format!("{folder}_without_{name}");
    }
    let folder = Path::new("target/few_shot").join(folder);
    std::fs::create_dir_all(&folder)?;
    let kept = folder.join("results.json");
    let world = World {
        practice: practice.data,
        unseen: unseen.data,
        folder,
        episodes: if quick { 10 } else { 600 },
        quick,
    };
    let mut results: Results = match std::fs::read(&kept) {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(_) => Results::new(),
    };
    let wanted = |method: &Method| only.is_empty() || only.contains(method);
    for seed in 0..args.seeds.unwrap_or(1) {
        let jobs = SETTINGS.iter().flat_map(|s| Method::ALL.map(|m| (*s, m)));
        for (setting, method) in jobs.filter(|(_, method)| wanted(method)) {
            let key = key(method, setting, seed);
            if results.contains_key(&key) {
                continue;
            }
            let start = Instant::now();
            let tested = Job { world: &world, method, setting, seed }.run()?;
            println!("{key}");
            tested.print();
            results.insert(key, (tested, start.elapsed().as_secs_f64()));
            // As a whole or not at all.
            let fresh = kept.with_extension("new");
            std::fs::write(&fresh, serde_json::to_vec_pretty(&results)?)?;
            std::fs::rename(fresh, &kept)?;
        }
    }
    show(&results, args.json.as_deref())
}

fn key(method: Method, Setting { way, shot }: Setting, seed: u64) -> String {
    let first = format!("{}, {way}-way {shot}-shot", method.name());
    if seed == 0 { first } else { format!("{first}, seed {seed}") }
}

/// A method in a setting, over all seeds that there are.
struct Line {
    inductive: Summary,
    transductive: Option<Summary>,
    seeds: usize,
    /// Of all seeds together.
    seconds: f64,
}

impl Line {
    /// Of several seeds the mean and its interval over seeds, of one that over tasks.
    fn of(results: &Results, method: Method, setting: Setting) -> Outcome<Option<Self>> {
        let seeds = (0..).map_while(|seed| results.get(&key(method, setting, seed)));
        let all: Vec<&(Tested, f64)> = seeds.collect();
        let over = |each: &[Summary]| -> Outcome<Option<Summary>> {
            Ok(match each {
                [] => None,
                [one] => Some(*one),
                _ => Some(Summary::of(&each.iter().map(|s| s.mean).collect::<Vec<_>>())?),
            })
        };
        let inductive: Vec<_> = all.iter().map(|(t, _)| t.inductive.last()).collect();
        let Some(inductive) = over(&inductive)? else { return Ok(None) };
        let both = all.iter().filter_map(|(t, _)| t.transductive.as_ref());
        Ok(Some(Self {
            inductive,
            transductive: over(&both.map(Evaluation::last).collect::<Vec<_>>())?,
            seeds: all.len(),
            seconds: all.iter().map(|(_, seconds)| seconds).sum(),
        }))
    }
}

fn show(results: &Results, json: Option<&Path>) -> Outcome {
    let mut page = Page::new("Omniglot: characters that training never saw");
    let mut rows = Vec::new();
    for setting in SETTINGS {
        let heading = format!("{}-way {}-shot", setting.way, setting.shot);
        let mut table = Table::new(["method", "seeds", "inductive", "transductive"]);
        let baseline = Line::of(results, Method::Pixels, setting)?;
        for method in Method::ALL {
            let Some(line) = Line::of(results, method, setting)? else { continue };
            table.row([
                method.name().to_owned(),
                line.seeds.to_string(),
                line.inductive.to_string(),
                line.transductive.map_or_else(|| "-".to_owned(), |t| t.to_string()),
            ]);
            let Some(pixels) = baseline.as_ref().filter(|_| method != Method::Pixels) else {
                continue;
            };
            rows.push(Row {
                technique: format!("meta-learning: {}", method.name()),
                data: format!("Omniglot, {heading}, inductive"),
                metric: "accuracy".to_owned(),
                baseline: Side::new(Method::Pixels.name(), pixels.inductive),
                result: Side::new(method.name(), line.inductive),
                seeds: line.seeds as u64,
                seconds: line.seconds,
            });
        }
        println!("\n{heading}");
        table.print();
        page.heading(&heading);
        page.table(&table);
    }
    let note = "Intervals are over seeds of training; of a single one over 600 test tasks.";
    println!("\n{note}");
    page.text(note);
    draw::save(page)?;
    if let Some(path) = json {
        rows::write(path, &rows)?;
    }
    Ok(())
}
