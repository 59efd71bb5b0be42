//! The candle and burn twins, driven over standard input and output by the same
//! protocol as `twins/worker.py`.

mod in_burn;
mod in_candle;
mod numbers;

use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    error::Error,
    io::{BufRead, Write, stdin, stdout},
    time::Instant,
};

/// A run gives what is compared if it is told that this is wanted.
pub type Run = Box<dyn FnMut(bool) -> Result<Vec<f32>, Box<dyn Error>>>;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Request {
    setup: Option<String>,
    variant: String,
    threads: usize,
    run: usize,
    memory: bool,
}

fn status(field: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(field)).unwrap_or_default();
    let kib = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>();
    kib.unwrap_or(0.0) / 1024.0
}

fn digest(x: &[f32]) -> [f64; 2] {
    let (mut mean, mut square) = (0.0, 0.0);
    for (i, &v) in x.iter().enumerate() {
        mean += f64::from(v) * (1.0 - (i % 7) as f64 / 4.0);
        square += f64::from(v) * f64::from(v);
    }
    let n = x.len().max(1) as f64;
    [mean / n, (square / n).sqrt()]
}

fn setup(request: &Request, name: &str) -> Result<(Run, f64, Value), Box<dyn Error>> {
    // SAFETY: no other thread runs yet. Both libraries read it when they first
    // use their pool.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", request.threads.to_string()) };
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = status("VmRSS");
    let mut run = match request.variant.as_str() {
        "candle" => in_candle::workload(name)?,
        "burn" => in_burn::workload(name)?,
        other => return Err(format!("no twin in {other}").into()),
    };
    let mut digests = Vec::new();
    for _ in 0..3 {
        digests.push(digest(&run(true)?));
    }
    Ok((run, before, json!({ "digests": digests })))
}

fn answer(line: &str, ready: &mut Option<(Run, f64)>) -> Result<Value, Box<dyn Error>> {
    let request: Request = serde_json::from_str(line)?;
    if let Some(name) = &request.setup {
        let (run, before, digests) = setup(&request, name)?;
        *ready = Some((run, before));
        return Ok(digests);
    }
    let Some((run, before)) = ready else { return Err("nothing is set up".into()) };
    if request.memory {
        return Ok(json!({ "mib": status("VmHWM") - *before }));
    }
    let start = Instant::now();
    for _ in 0..request.run {
        std::hint::black_box(run(false)?);
    }
    Ok(json!({ "seconds": start.elapsed().as_secs_f64() }))
}

fn main() -> std::io::Result<()> {
    let mut say = |value: Value| {
        let mut out = stdout().lock();
        writeln!(out, "{value}")?;
        out.flush()
    };
    say(json!({ "version": env!("CARGO_PKG_VERSION") }))?;
    let mut ready = None;
    for line in stdin().lock().lines() {
        let line = line?;
        if line.contains("\"quit\"") {
            break;
        }
        match answer(&line, &mut ready) {
            Ok(value) => say(value)?,
            Err(error) => say(json!({ "error": error.to_string() }))?,
        }
    }
    Ok(())
}
