//! Every workload beside its PyTorch twin, alternately, with the same number
//! of threads.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use clap::Parser;
use serde::Serialize;
use std::{path::PathBuf, process::ExitCode, time::Instant};
use tl_bench::{Workload, all, twin::Twin};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Compares the workloads with their PyTorch twins in one run.
#[derive(Debug, Parser)]
struct Args {
    /// A Python interpreter with PyTorch installed.
    #[arg(long)]
    python: Option<String>,
    /// Only this workload; may be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Threads for both sides; all cores if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Seconds for each side of each pair.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only our side, without PyTorch.
    #[arg(long)]
    alone: bool,
    /// Write the rows as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Row {
    workload: &'static str,
    peer: &'static str,
    threads: usize,
    ours_ms: f64,
    peer_ms: f64,
    ratio: f64,
}

const HINT: &str = "\
a Python interpreter with PyTorch is needed:

    python3 -m venv peers-env
    peers-env/bin/pip install torch numpy
    cargo run --release -p tl-bench --bin peers -- --python peers-env/bin/python

or give `--alone` to time this side only";

/// Blocks of runs that take turns; the result is the median over them.
const BLOCKS: usize = 15;

fn main() -> ExitCode {
    let args = Args::parse();
    if args.python.is_none() && !args.alone {
        eprintln!("{HINT}");
        return ExitCode::from(2);
    }
    match compare(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> Outcome {
    let threads = match args.threads {
        Some(threads) => threads.into(),
        None => std::thread::available_parallelism()?.get(),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let workloads: Vec<Workload> = all()
        .into_iter()
        .filter(|w| args.only.is_empty() || args.only.iter().any(|name| name == w.name))
        .collect();
    if workloads.is_empty() {
        let names: Vec<&str> = all().iter().map(|w| w.name).collect();
        return Err(format!("there is no such workload; there are: {}", names.join(", ")).into());
    }
    let mut rows = Vec::new();
    let mut twin = match &args.python {
        Some(python) if !args.alone => Some(Twin::start(python)?),
        _ => None,
    };
    if let Some(twin) = &twin {
        println!("PyTorch {}, {threads} threads", twin.version);
    }
    println!("{:<20} {:<12} {:>9} {:>9} {:>7}", "workload", "peer", "ours ms", "peer ms", "ratio");
    for workload in workloads {
        let Some(twin) = &mut twin else {
            let (ours, _) = pool.install(|| measure(&workload, None, args.seconds, threads))?;
            println!("{:<20} {:<12} {ours:>9.3}", workload.name, "-");
            continue;
        };
        for &peer in workload.peers {
            let pair = Some((&mut *twin, peer));
            let (ours_ms, peer_ms) =
                pool.install(|| measure(&workload, pair, args.seconds, threads))?;
            let ratio = peer_ms / ours_ms;
            let name = workload.name;
            println!("{name:<20} {peer:<12} {ours_ms:>9.3} {peer_ms:>9.3} {ratio:>6.2}x");
            rows.push(Row { workload: name, peer, threads, ours_ms, peer_ms, ratio });
        }
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&serde_json::json!({ "rows": rows }))?;
        std::fs::write(path, text + "\n")?;
    }
    Ok(())
}

/// Milliseconds of ours and of the peer, blocks taking turns.
fn measure(
    workload: &Workload,
    mut peer: Option<(&mut Twin, &str)>,
    seconds: f64,
    threads: usize,
) -> Outcome<(f64, f64)> {
    let (mut run, alone) = ((workload.setup)()?, peer.is_none());
    let mut ours = |n: usize| -> Outcome<f64> {
        let start = Instant::now();
        for _ in 0..n {
            run()?;
        }
        Ok(start.elapsed().as_secs_f64())
    };
    if let Some((twin, variant)) = &mut peer {
        twin.setup(workload.name, variant, threads)?;
    }
    let mut theirs = |n: usize| -> Outcome<f64> {
        match &mut peer {
            Some((twin, _)) => Ok(twin.run(n)?),
            None => Ok(0.0),
        }
    };
    let block = seconds / BLOCKS as f64;
    let mine = fill(&mut ours, block)?;
    let other = if alone { 1 } else { fill(&mut theirs, block)? };
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        a.push(ours(mine)? * 1e3 / mine as f64);
        b.push(theirs(other)? * 1e3 / other as f64);
    }
    Ok((median(a), median(b)))
}

/// How many runs fill a block; warms up on the way.
fn fill(mut time: impl FnMut(usize) -> Outcome<f64>, block: f64) -> Outcome<usize> {
    let (mut n, mut took) = (1, time(1)?);
    while took < 0.3 * block && n < 1 << 20 {
        n *= 2;
        took = time(n)?;
    }
    Ok(((n as f64 * block / took.max(1e-9)) as usize).clamp(1, 1 << 20))
}

fn median(mut list: Vec<f64>) -> f64 {
    list.sort_by(f64::total_cmp);
    list[list.len() / 2]
}
