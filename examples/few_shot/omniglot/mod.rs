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
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Instant,
};
use transfer_learning::{data::Dataset, maml::Both, nn::metric::Summary};

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

/// What is kept: "method, 5-way 1-shot" (and the seed, but for the first) to both
/// protocols and seconds.
type Results = BTreeMap<String, (Both, f64)>;

/// Trains and tests these methods, all if none is named.
pub fn run(data: &Path, only: &[Method], args: &Args) -> Outcome {
    let quick = args.quick;
    let practice = data::read(&data.join("images_train"))?;
    let unseen = data::read(&data.join("images_katakana"))?;
    println!(
        "practice: {} characters of {} alphabets; test: {} characters of {}",
        practice.data.classes(),
        practice.alphabets(),
        unseen.data.classes(),
        unseen.alphabets(),
    );
    let folder =
        Path::new("target/few_shot").join(if quick { "omniglot_quick" } else { "omniglot" });
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
            let both = Job { world: &world, method, setting, seed }.run()?;
            println!("{key}\n{both}");
            results.insert(key, (both, start.elapsed().as_secs_f64()));
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
    transductive: Summary,
    seeds: usize,
    /// Of all seeds together.
    seconds: f64,
}

impl Line {
    /// Of several seeds the mean and its interval over seeds, of one that over tasks.
    fn of(results: &Results, method: Method, setting: Setting) -> Outcome<Option<Self>> {
        let seeds = (0..).map_while(|seed| results.get(&key(method, setting, seed)));
        let all: Vec<&(Both, f64)> = seeds.collect();
        let over = |of: fn(&Both) -> Summary| -> Outcome<Summary> {
            let each: Vec<Summary> = all.iter().map(|(both, _)| of(both)).collect();
            match each[..] {
                [one] => Ok(one),
                _ => Ok(Summary::of(&each.iter().map(|s| s.mean).collect::<Vec<_>>())?),
            }
        };
        if all.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            inductive: over(|both| both.inductive.last())?,
            transductive: over(|both| both.transductive.last())?,
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
                line.transductive.to_string(),
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
