//! A progress bar over the runs of an experiment.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of `runs` steps on the standard error stream, if it is a terminal.
pub fn over(runs: usize) -> ProgressBar {
    let bar = ProgressBar::new(runs as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} runs, {elapsed}  {msg}") {
        bar.set_style(style);
    }
    bar
}
