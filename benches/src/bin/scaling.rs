//! Time and memory of a step against batch, width, depth, tasks and threads,
//! beside what it costs on paper; pictures into docs/performance.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use clap::Parser;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};
use tl_bench::{
    Outcome, Run, all, memory,
    scaling::{Line, Machine, SWEEPS, Sweep, THREADED, draw},
};

/// Measures how time and memory of a step grow, and draws it.
#[derive(Debug, Parser)]
struct Args {
    /// Where the pictures go, and `scaling.json` with all numbers.
    #[arg(long, default_value = "docs/performance")]
    out: PathBuf,
    /// Threads of all but the sweep over threads; all cores if not given.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Seconds for each point.
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Only these pictures: batch, width, depth, tasks, threads.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Measure one point in this process: sweep or workload, and value.
    #[arg(long, hide = true, num_args = 2)]
    point: Vec<String>,
}

/// A point of a sweep.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Point {
    at: usize,
    ms: f64,
    mib: f64,
}

/// All numbers.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Numbers {
    machine: Option<Machine>,
    threads: usize,
    sweeps: BTreeMap<String, Vec<Point>>,
    by_threads: BTreeMap<String, Vec<Point>>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = if args.point.is_empty() { measure_all(&args) } else { one_point(&args) };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn cores() -> Outcome<usize> {
    Ok(std::thread::available_parallelism()?.get())
}

/// Prints a point as JSON: the median of the steps, and the peak of memory.
fn one_point(args: &Args) -> Outcome {
    let (name, at) = (args.point[0].as_str(), args.point[1].parse::<usize>()?);
    let sweep = SWEEPS.iter().find(|s| s.name == name);
    let threads = if sweep.is_some() { args.threads.unwrap_or(cores()?) } else { at };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let before = memory::resident();
    let point = pool.install(|| -> Outcome<Point> {
        let mut run: Run = match (sweep, all().into_iter().find(|w| w.name == name)) {
            (Some(sweep), _) => (sweep.step)(at)?,
            (None, Some(workload)) => (workload.setup)()?,
            _ => return Err(format!("there is no sweep or workload `{name}`").into()),
        };
        let (mut times, begin) = (Vec::new(), Instant::now());
        while times.len() < 5 || begin.elapsed().as_secs_f64() < args.seconds {
            let start = Instant::now();
            std::hint::black_box(run()?);
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        Ok(Point { at, ms: times[times.len() / 2], mib: memory::peak() - before })
    })?;
    println!("{}", serde_json::to_string(&point)?);
    Ok(())
}

/// A point in a process of its own, for its memory.
fn ask(args: &Args, name: &str, at: usize) -> Outcome<Point> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--point", name, &at.to_string(), "--seconds", &args.seconds.to_string()]);
    if let Some(threads) = args.threads {
        command.args(["--threads", &threads.to_string()]);
    }
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let point: Point = serde_json::from_slice(&output.stdout)?;
    println!("{name:<18} {at:>6} {:>10.3} ms {:>8.1} MiB", point.ms, point.mib);
    Ok(point)
}

fn measure_all(args: &Args) -> Outcome {
    std::fs::create_dir_all(&args.out)?;
    let file = args.out.join("scaling.json");
    let mut numbers: Numbers = match std::fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text)?,
        Err(_) => Numbers::default(),
    };
    let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|n| n == name);
    numbers.threads = args.threads.unwrap_or(cores()?);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(numbers.threads).build()?;
    let machine = pool.install(Machine::measure)?;
    println!(
        "{} threads: {:.0} GFLOP/s, {:.1} GB/s, {:.0} ns an operation",
        numbers.threads,
        machine.flops / 1e9,
        machine.bandwidth / 1e9,
        machine.operation * 1e9
    );
    numbers.machine = Some(machine);
    for sweep in SWEEPS.iter().filter(|s| wanted(s.name)) {
        let points = sweep.values.iter().map(|&at| ask(args, sweep.name, at));
        let points = points.collect::<Outcome<Vec<_>>>()?;
        std::fs::write(
            args.out.join(format!("{}.svg", sweep.name)),
            picture(sweep, &points, &machine)?,
        )?;
        numbers.sweeps.insert(sweep.name.to_owned(), points);
    }
    if wanted("threads") {
        let most = cores()?;
        for name in THREADED {
            let points = (1..=most).map(|n| ask(args, name, n)).collect::<Outcome<Vec<_>>>()?;
            numbers.by_threads.insert(name.to_owned(), points);
        }
        by_threads(&args.out, &numbers)?;
    }
    Ok(std::fs::write(file, serde_json::to_string_pretty(&numbers)? + "\n")?)
}

fn picture(sweep: &Sweep, points: &[Point], machine: &Machine) -> Outcome<String> {
    let measured = |of: fn(&Point) -> f64| Line {
        name: "measured".into(),
        points: points.iter().map(|p| (p.at as f64, of(p))).collect(),
        measured: true,
    };
    let paper = |of: &dyn Fn(usize) -> f64| Line {
        name: "on paper".into(),
        points: sweep.values.iter().map(|&at| (at as f64, of(at))).collect(),
        measured: false,
    };
    let time = paper(&|at| (sweep.cost)(at).milliseconds(machine));
    let held = paper(&|at| (sweep.cost)(at).held / f64::from(1 << 20));
    let panels = [
        ("ms a step", vec![measured(|p| p.ms), time]),
        ("peak memory, MiB", vec![measured(|p| p.mib.max(0.01)), held]),
    ];
    draw(sweep.title, sweep.axis, &panels)
}

/// How many times faster than one thread.
fn by_threads(out: &Path, numbers: &Numbers) -> Outcome {
    let of = |(name, points): (&String, &Vec<Point>)| {
        let one = points.first().map_or(1.0, |p| p.ms);
        let points = points.iter().map(|p| (p.at as f64, one / p.ms)).collect();
        Line { name: name.clone(), points, measured: true }
    };
    let lines: Vec<Line> = numbers.by_threads.iter().map(of).collect();
    let svg = draw("Times faster than one thread", "threads", &[("times faster", lines)])?;
    Ok(std::fs::write(out.join("threads.svg"), svg)?)
}
