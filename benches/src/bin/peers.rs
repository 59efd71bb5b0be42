//! Every workload beside its twins in other libraries, in turns, with the same
//! number of threads.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use clap::Parser;
use std::{
    io::{stdin, stdout},
    path::PathBuf,
    process::ExitCode,
};
use tl_bench::{
    Outcome, Workload, all,
    measure::{agree, measure},
    peer::Worker,
    serve::serve,
    table::{Row, Table},
};

/// Compares the workloads with their twins in PyTorch and other libraries, in
/// one run.
#[derive(Debug, Parser)]
struct Args {
    /// A Python interpreter with PyTorch installed.
    #[arg(long)]
    python: Option<String>,
    /// A program with the twins in candle and burn, which speaks the protocol
    /// of src/serve.rs.
    #[arg(long, value_name = "PROGRAM")]
    rust_peers: Option<PathBuf>,
    /// Only this workload, or those that begin so and go on with `*`; may be
    /// given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only this peer, such as `torch`; may be given several times.
    #[arg(long, value_name = "PEER")]
    peer: Vec<String>,
    /// Threads for all sides; all cores if not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Seconds for each side of a comparison.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only our side.
    #[arg(long)]
    alone: bool,
    /// Write the rows as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep the rows that FILE has of other workloads and peers.
    #[arg(long, requires = "json")]
    merge: bool,
    /// Print the rows of the JSON file as a table of Markdown; measure nothing.
    #[arg(long, requires = "json")]
    markdown: bool,
    /// List the workloads and what they are.
    #[arg(long)]
    list: bool,
    /// Be the worker of our side.
    #[arg(long, hide = true)]
    serve: bool,
}

const HINT: &str = "\
a Python interpreter with PyTorch is needed:

    python3 -m venv peers-env
    peers-env/bin/pip install torch numpy
    cargo run --release -p tl-bench --bin peers -- --python peers-env/bin/python

or `--rust-peers`, or `--alone` to time this side only";

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = if args.serve {
        serve(stdin().lock(), stdout()).map_err(Into::into)
    } else if args.markdown {
        Table::new(args.json.clone(), true).map(|table| print!("{}", table.markdown()))
    } else if args.list {
        all().iter().for_each(|w| println!("{:<24} {}", w.name, w.about));
        Ok(())
    } else if args.python.is_none() && args.rust_peers.is_none() && !args.alone {
        eprintln!("{HINT}");
        return ExitCode::from(2);
    } else {
        compare(&args)
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

impl Args {
    fn wants(&self, workload: &Workload) -> bool {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => workload.name.starts_with(start),
            None => workload.name == pattern,
        };
        self.only.is_empty() || self.only.iter().any(fits)
    }
}

/// The workers of peers.
struct Peers<'a> {
    args: &'a Args,
    /// Python workers between two workloads.
    idle: Vec<Worker>,
}

impl Peers<'_> {
    /// A worker for a peer; `None` if it was not asked for.
    fn worker(&mut self, peer: &str) -> Outcome<Option<Worker>> {
        let args = self.args;
        if args.alone || !(args.peer.is_empty() || args.peer.iter().any(|p| p == peer)) {
            return Ok(None);
        }
        match (peer, &args.python, &args.rust_peers) {
            ("candle" | "burn", _, Some(program)) => Worker::program(program).map(Some),
            ("candle" | "burn", _, None) | (_, None, _) => Ok(None),
            (_, Some(python), _) => match self.idle.pop() {
                Some(worker) => Ok(Some(worker)),
                None => Worker::python(python).map(Some),
            },
        }
    }

    /// Takes a worker back, if it can do more than one workload.
    fn back(&mut self, peer: &str, mut worker: Worker) {
        if !matches!(peer, "candle" | "burn") && worker.release().is_ok() {
            self.idle.push(worker);
        }
    }
}

fn compare(args: &Args) -> Outcome {
    let threads = match args.threads {
        Some(threads) => threads.into(),
        None => std::thread::available_parallelism()?.get(),
    };
    let workloads: Vec<Workload> = all().into_iter().filter(|w| args.wants(w)).collect();
    if workloads.is_empty() {
        let names: Vec<&str> = all().iter().map(|w| w.name).collect();
        return Err(format!("there is no such workload; there are: {}", names.join(", ")).into());
    }
    let mut table = Table::new(args.json.clone(), args.merge)?;
    println!("{threads} threads; time and memory: ours, then the peer's");
    table.head();
    let mut peers = Peers { args, idle: Vec::new() };
    for workload in &workloads {
        if let Err(error) = side_by_side(&mut peers, workload, threads, &mut table) {
            table.skip(workload.name, "-", &error.to_string())?;
        }
    }
    table.end()
}

/// All peers of a workload that are there, in turns with our side.
fn side_by_side(
    from: &mut Peers<'_>,
    workload: &Workload,
    threads: usize,
    table: &mut Table,
) -> Outcome {
    let args = from.args;
    let mut ours = Worker::ours()?;
    let digests = ours.setup(workload.name, "ours", threads)?;
    let mut peers: Vec<(&'static str, Worker)> = Vec::new();
    for &peer in workload.peers {
        let mut worker = match from.worker(peer) {
            Ok(Some(worker)) => worker,
            Ok(None) => continue,
            Err(error) => {
                table.skip(workload.name, peer, &error.to_string())?;
                continue;
            }
        };
        let theirs = worker.setup(workload.name, peer, threads);
        let fits = theirs.and_then(|theirs| match workload.tolerance {
            Some(tolerance) => agree(&digests, &theirs, tolerance),
            None => Ok(()),
        });
        match fits {
            Ok(()) => peers.push((peer, worker)),
            Err(error) => {
                table.skip(workload.name, peer, &error.to_string())?;
                from.back(peer, worker);
            }
        }
    }
    if peers.is_empty() && !args.alone {
        return Ok(());
    }
    let mut sides: Vec<&mut Worker> = vec![&mut ours];
    sides.extend(peers.iter_mut().map(|(_, worker)| worker));
    let times = measure(&mut sides, args.seconds)?;
    let steps = workload.steps as f64;
    let own = ours.memory()?;
    if args.alone {
        println!("{:<24} {:>10.3} ms {own:>8.1} MiB", workload.name, times[0].median() / steps);
    }
    for ((peer, worker), theirs) in peers.iter_mut().zip(&times[1..]) {
        let memory = [own, worker.memory()?];
        table.row(Row::new(workload.name, peer, threads, [&times[0], theirs], steps, memory))?;
    }
    for (peer, worker) in peers {
        from.back(peer, worker);
    }
    Ok(())
}
