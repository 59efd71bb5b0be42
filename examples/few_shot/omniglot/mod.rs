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

/// What is kept: "method, 5-way 1-shot" to both protocols and seconds.
type Results = BTreeMap<String, (Both, f64)>;

/// Trains and tests these methods, all if none is named.
pub fn run(data: &Path, only: &[Method], quick: bool, json: Option<&Path>) -> Outcome {
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
    for setting in SETTINGS {
        for method in Method::ALL {
            if !only.is_empty() && !only.contains(&method) {
                continue;
            }
            let key = key(method, setting);
            if results.contains_key(&key) {
                continue;
            }
            let start = Instant::now();
            let both = Job { world: &world, method, setting, seed: 0 }.run()?;
            println!("{key}\n{both}");
            results.insert(key, (both, start.elapsed().as_secs_f64()));
            // As a whole or not at all.
            let fresh = kept.with_extension("new");
            std::fs::write(&fresh, serde_json::to_vec_pretty(&results)?)?;
            std::fs::rename(fresh, &kept)?;
        }
    }
    show(&results, json)
}

fn key(method: Method, Setting { way, shot }: Setting) -> String {
    format!("{}, {way}-way {shot}-shot", method.name())
}

fn show(results: &Results, json: Option<&Path>) -> Outcome {
    let mut page = Page::new("Omniglot: characters that training never saw");
    let mut rows = Vec::new();
    for setting in SETTINGS {
        let heading = format!("{}-way {}-shot", setting.way, setting.shot);
        let mut table = Table::new(["method", "inductive", "transductive"]);
        let baseline = results.get(&key(Method::Pixels, setting));
        for method in Method::ALL {
            let Some((both, seconds)) = results.get(&key(method, setting)) else { continue };
            let (one, all) = (both.inductive.last(), both.transductive.last());
            table.row([method.name().to_owned(), one.to_string(), all.to_string()]);
            let Some((pixels, _)) = baseline.filter(|_| method != Method::Pixels) else { continue };
            let side = |name: &str, s: Summary| Side::new(name, s);
            rows.push(Row {
                technique: format!("meta-learning: {}", method.name()),
                data: format!("Omniglot, {heading}, inductive"),
                metric: "accuracy".to_owned(),
                baseline: side(Method::Pixels.name(), pixels.inductive.last()),
                result: side(method.name(), one),
                seeds: 1,
                seconds: *seconds,
            });
        }
        println!("\n{heading}");
        table.print();
        page.heading(&heading);
        page.table(&table);
    }
    let note = "Intervals are over 600 test tasks of one training run.";
    println!("\n{note}");
    page.text(note);
    draw::save(page)?;
    if let Some(path) = json {
        rows::write(path, &rows)?;
    }
    Ok(())
}
