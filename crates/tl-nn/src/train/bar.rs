//! A progress bar.

use super::event::Event;
use indicatif::{ProgressBar, ProgressStyle};

/// A listener that draws a bar over epochs and batches, with the last loss and
/// metrics beside it.
pub(super) fn listener() -> impl FnMut(&Event<'_>) {
    const PARTS: u64 = 1000;
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3}% {elapsed}  {msg}") {
        bar.set_style(style);
    }
    let mut metrics = String::new();
    move |event| match event {
        Event::Begin { epochs, .. } => bar.set_length(*epochs as u64 * PARTS),
        Event::Step { epoch, batches, of, loss, .. } => {
            let part = of.filter(|&of| of > 0).map_or(0, |of| *batches as u64 * PARTS / of as u64);
            bar.set_position(*epoch as u64 * PARTS + part.min(PARTS));
            bar.set_message(format!("epoch {epoch}  loss {loss:.4}{metrics}"));
        }
        Event::Epoch(record) => {
            let list = record.validation.iter().map(|(name, x)| format!("  {name} {x:.4}"));
            metrics = list.collect();
        }
        Event::End(_) => bar.finish_and_clear(),
        Event::Saved { .. } => {}
    }
}
