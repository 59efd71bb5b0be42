//! Our side as a worker: the same protocol that the twins speak.
//!
//! One JSON object a line. In: `{"setup": workload, "variant": name, "threads":
//! n}`, `{"run": iterations}`, `{"memory": true}`, `{"quit": true}`. Out:
//! `{"version": text}` at the start, then `{"digests": [[a, b], ..]}`,
//! `{"seconds": s}`, `{"mib": m}`, or `{"error": text}`.

use crate::{Outcome, Run, all, memory, workloads::Workload};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    io::{BufRead, Write},
    time::Instant,
};
use tl_nn::Tensor;

/// Runs whose results are compared before the clock starts: of a training step
/// the second and third depend on the optimiser too. Fewer if they take longer
/// than [`PATIENCE`].
const COMPARED: usize = 3;

/// Seconds.
const PATIENCE: f64 = 1.0;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    setup: Option<String>,
    threads: usize,
    run: usize,
    memory: bool,
    quit: bool,
}

/// What is compared of a result: a weighted mean and the root mean square.
///
/// # Errors
/// None that a tensor can cause.
pub fn digest(x: &Tensor) -> Outcome<[f64; 2]> {
    let all = x.to_vec();
    let (mut mean, mut square) = (0.0, 0.0);
    for (i, &v) in all.iter().enumerate() {
        let v = f64::from(v);
        mean += v * (1.0 - (i % 7) as f64 / 4.0);
        square += v * v;
    }
    let n = all.len().max(1) as f64;
    Ok([mean / n, (square / n).sqrt()])
}

struct Ready {
    run: Run,
    pool: rayon::ThreadPool,
    before: f64,
}

fn setup(request: &Request, name: &str) -> Outcome<(Ready, Value)> {
    let workload: Workload = all()
        .into_iter()
        .find(|w| w.name == name)
        .ok_or_else(|| format!("there is no workload `{name}`"))?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(request.threads).build()?;
    memory::reset_peak();
    let before = memory::resident();
    let mut run = pool.install(|| (workload.setup)())?;
    let (mut digests, begin) = (Vec::new(), Instant::now());
    while digests.is_empty()
        || (digests.len() < COMPARED && begin.elapsed().as_secs_f64() < PATIENCE)
    {
        digests.push(digest(&pool.install(&mut run)?)?);
    }
    Ok((Ready { run, pool, before }, json!({ "digests": digests })))
}

fn answer(line: &str, ready: &mut Option<Ready>) -> Outcome<Option<Value>> {
    let request: Request = serde_json::from_str(line)?;
    if request.quit {
        return Ok(None);
    }
    if let Some(name) = &request.setup {
        let (own, digests) = setup(&request, name)?;
        *ready = Some(own);
        return Ok(Some(digests));
    }
    let Some(Ready { run, pool, before }) = ready else {
        return Err("nothing is set up".into());
    };
    if request.memory {
        return Ok(Some(json!({ "mib": memory::peak() - *before })));
    }
    let seconds = pool.install(|| -> Outcome<f64> {
        let start = Instant::now();
        for _ in 0..request.run {
            std::hint::black_box(run()?);
        }
        Ok(start.elapsed().as_secs_f64())
    })?;
    Ok(Some(json!({ "seconds": seconds })))
}

/// Answers requests until the input ends.
///
/// # Errors
/// Input or output cannot be used.
pub fn serve(input: impl BufRead, mut output: impl Write) -> std::io::Result<()> {
    let mut say = |value: Value| -> std::io::Result<()> {
        writeln!(output, "{value}")?;
        output.flush()
    };
    say(json!({ "version": env!("CARGO_PKG_VERSION") }))?;
    let mut ready = None;
    for line in input.lines() {
        match answer(&line?, &mut ready) {
            Ok(Some(value)) => say(value)?,
            Ok(None) => break,
            Err(error) => say(json!({ "error": error.to_string() }))?,
        }
    }
    Ok(())
}
