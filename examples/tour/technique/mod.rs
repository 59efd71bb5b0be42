//! The other techniques, each on a question that it is made for.

mod distill;
mod domain;
mod few_shot;
mod multi_task;
mod self_supervised;
mod zero_shot;

use crate::shared::{Outcome, page::Card};
use transfer_learning::nn::metric::Trials;

/// A technique beside its baseline.
pub struct Section {
    /// The technique.
    pub name: &'static str,
    /// What is there, what is wanted, what is compared.
    pub story: &'static str,
    /// The results; the first way is the baseline.
    pub trials: Trials,
    /// The way that stands for the technique.
    pub way: &'static str,
    /// What the program says to the library.
    pub code: String,
    /// Samples, and what was said of them.
    pub cards: Vec<Card>,
}

/// A part of the tour.
pub struct Part {
    /// The technique.
    pub name: &'static str,
    /// Makes it: seeds, and whether it is a short run.
    pub run: fn(u64, bool) -> Outcome<Section>,
    /// About how long it takes, in seconds: the longest begin first.
    pub seconds: u32,
}

/// All of them, in the order of the tour.
pub const PARTS: [Part; 6] = [
    Part { name: "domain adaptation", run: domain::run, seconds: 50 },
    Part { name: "multi-task learning", run: multi_task::run, seconds: 25 },
    Part { name: "knowledge distillation", run: distill::run, seconds: 5 },
    Part { name: "self-supervised learning", run: self_supervised::run, seconds: 60 },
    Part { name: "zero-shot learning", run: zero_shot::run, seconds: 1 },
    Part { name: "meta-learning", run: few_shot::run, seconds: 15 },
];

/// The lines of a source file between `// The technique:` and `// Until here.`,
/// without their indentation: what is shown is what has run.
fn snippet(source: &str) -> String {
    let lines: Vec<&str> = source
        .lines()
        .skip_while(|line| line.trim() != "// The technique:")
        .skip(1)
        .take_while(|line| line.trim() != "// Until here.")
        .collect();
    let indent = |line: &&&str| !line.trim().is_empty();
    let indent = lines.iter().filter(indent).map(|l| l.len() - l.trim_start().len()).min();
    let lines = lines.iter().map(|line| line.get(indent.unwrap_or(0)..).unwrap_or(""));
    lines.collect::<Vec<_>>().join("\n")
}
