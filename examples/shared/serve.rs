//! A service on standard input and output: a line in, a line of JSON out.

use super::Outcome;
use serde_json::{Value, json};
use std::io::{BufRead, Write};

/// Answers each line until the input ends. What cannot be answered gets
/// `{"error": ".."}`: a bad request does not end the service.
pub fn lines(mut answer: impl FnMut(&str) -> Outcome<Value>) -> Outcome {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let reply = answer(&line).unwrap_or_else(|e| json!({ "error": e.to_string() }));
        writeln!(out, "{reply}")?;
        out.flush()?;
    }
    Ok(())
}

/// The most likely class of one sample's logits, with its probability.
pub fn verdict(logits: &[f32], classes: &[String]) -> Value {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = logits.iter().map(|x| (x - most).exp()).collect();
    let total: f32 = weights.iter().sum();
    let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0);
    json!({ "class": classes.get(best), "probability": weights.get(best).map(|w| w / total) })
}
