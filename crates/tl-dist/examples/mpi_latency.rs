//! How long sums between ranks take here, and the network `(alpha, beta)` that fits.
//!
//! ```sh
//! cargo build --release -p tl-dist --features mpi --example mpi_latency
//! mpirun -n 2 target/release/examples/mpi_latency
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it is for")]

use std::{process::ExitCode, time::Instant};
use tl_dist::{
    Collective, Error, Mpi, Result,
    scaling::{Way, fit},
};

/// The median seconds of `work`, of the rank that took longest.
fn seconds(world: &dyn Collective, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut all = Vec::new();
    for _ in 0..21 {
        world.barrier()?;
        let start = Instant::now();
        work()?;
        all.push(start.elapsed().as_secs_f64());
    }
    all.sort_by(f64::total_cmp);
    let own = (all[all.len() / 2] as f32).to_le_bytes().to_vec();
    let of_ranks = world.gather_everywhere(own)?;
    let read = of_ranks.iter().filter_map(|b| b.as_slice().try_into().ok());
    Ok(read.map(f32::from_le_bytes).map(f64::from).fold(0.0, f64::max))
}

fn run(world: &dyn Collective) -> Result<()> {
    let size = world.size();
    let mut measured = Vec::new();
    if world.is_root() {
        println!("| bytes | all_reduce, us | all_to_all and all_gather, us |\n|---|---|---|");
    }
    for power in (8..=24).step_by(2) {
        let length = (1_usize << power) / 4;
        let numbers = vec![1.0_f32; length];
        let fast = seconds(world, || world.all_reduce(numbers.clone()).map(drop))?;
        let slice = |rank: usize| (rank + 1) * length / size - rank * length / size;
        let lengths: Vec<usize> = (0..size).map(slice).collect();
        let own = slice(world.rank());
        let fixed = seconds(world, || {
            let send = lengths.iter().map(|&l| numbers[..l].to_vec()).collect();
            let mut got = world.all_to_all(send, &vec![own; size])?;
            world.all_gather(got.swap_remove(0), &lengths).map(drop)
        })?;
        if world.is_root() {
            println!("| {} | {:.0} | {:.0} |", length * 4, fast * 1e6, fixed * 1e6);
        }
        measured.push(((length * 4) as f64, fast));
    }
    if world.is_root()
        && let Some(link) = fit(Way::HalvingDoubling, size, &measured)
    {
        println!("alpha {:.1} us, {:.2} GB/s", link.alpha * 1e6, 1e-9 / link.beta);
    }
    Ok(())
}

fn main() -> ExitCode {
    match Mpi::run(|world| run(world), |error: &Error| eprintln!("mpi_latency: {error}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
