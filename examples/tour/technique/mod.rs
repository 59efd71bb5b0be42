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

/// A part of the tour: seeds, and whether it is a short run.
pub type Part = fn(u64, bool) -> Outcome<Section>;

/// All of them, in the order of the tour.
pub const PARTS: [(&str, Part); 6] = [
    ("domain adaptation", domain::run),
    ("multi-task learning", multi_task::run),
    ("knowledge distillation", distill::run),
    ("self-supervised learning", self_supervised::run),
    ("zero-shot learning", zero_shot::run),
    ("meta-learning", few_shot::run),
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
