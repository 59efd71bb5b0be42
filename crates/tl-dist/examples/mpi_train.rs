//! Trains a small network on digits under `mpirun` and prints a hash of the result:
//! what `tools/test-mpi` compares between numbers of ranks.
//!
//! ```sh
//! cargo build -p tl-dist --features mpi --example mpi_train
//! mpirun -n 2 target/debug/examples/mpi_train --shards 8
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it is for")]

use clap::Parser;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::{path::PathBuf, process::ExitCode};
use tl_data::{Batch, Batching, Indices, samples, transform::RandomAffine};
use tl_dist::{
    Collective, DataParallel, Error, Mpi, Plan, Reduction, Result, ShardedLoader, SharedCheckpoint,
    check_replicas, map_reduce,
};
use tl_nn::{
    Act, AdamW, BatchNorm, CrossEntropy, Ctx, Dropout, Event, Flatten, Forward, Linear, ModuleExt,
    Optimizer, Sequential, Trainer, metric,
};

/// How to train.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// Micro-shards of a global batch; 0 for the fast reduction.
    #[arg(long, default_value_t = 8)]
    shards: usize,
    /// Passes over the data.
    #[arg(long, default_value_t = 3)]
    epochs: usize,
    /// Samples of a global batch.
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// Bytes of a bucket of gradients.
    #[arg(long, default_value_t = 4096)]
    bucket: usize,
    /// Where the checkpoint is, saved every 3 steps.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// The rank that dies by its own hand...
    #[arg(long, default_value_t = 1)]
    dies: usize,
    /// ... after so many steps.
    #[arg(long)]
    dies_after: Option<u64>,
    /// It returns an error instead of being killed.
    #[arg(long)]
    politely: bool,
}

fn network() -> Sequential {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    Sequential::new()
        .push(Flatten)
        .push(Linear::new(64, 48, &mut rng))
        .push(BatchNorm::new(48))
        .push(Act::Relu)
        .push(Dropout::new(0.1))
        .push(Linear::new(48, 10, &mut rng))
}

fn loss(model: &Sequential, batch: &Batch, cx: &mut Ctx) -> tl_nn::Result<tl_nn::Tensor> {
    let labels = batch.labels().map_err(tl_nn::Error::other)?;
    Ok(CrossEntropy::new().loss(&model.forward(&batch.features, cx)?, labels)?)
}

fn train(world: &dyn Collective, options: &Options) -> Result<()> {
    let reduction = match options.shards {
        0 => Reduction::Fast,
        shards => Reduction::Deterministic { shards },
    };
    let (data, test) = samples::digits().split(0.8, &mut ChaCha8Rng::seed_from_u64(1))?;
    let plan = Plan::new(world, reduction)?;
    let batching = Batching::new(options.batch).shuffled(0);
    let loader =
        ShardedLoader::new(&data, batching, plan)?.transform(RandomAffine::new().translate(0.05));
    let checkpoint = options.checkpoint.as_ref().map(|path| SharedCheckpoint::new(world, path));
    let checkpoint = checkpoint.transpose()?.map(|c| c.every(3));

    let mut model = network();
    let mut trainer = Trainer::new(Optimizer::new(AdamW::new(3e-3)), options.epochs);
    if let Some(checkpoint) = &checkpoint {
        trainer = checkpoint.attach(trainer);
    }
    let last = options.dies_after.filter(|_| options.dies == world.rank());
    let steps = std::cell::Cell::new(0);
    trainer = trainer.on_event(|event| match event {
        Event::Step { step, .. } => {
            steps.set(*step);
            if last == Some(*step) && !options.politely {
                // As a machine that loses its power.
                std::process::abort();
            }
        }
        Event::Begin { steps, .. } if world.is_root() => println!("begin {steps}"),
        _ => {}
    });
    let mut objective =
        DataParallel::new(world, plan, |model: &Sequential, batch: &Batch, cx: &mut Ctx| {
            if last.is_some_and(|last| steps.get() >= last) {
                return Err(tl_nn::Error::other("told to fail"));
            }
            loss(model, batch, cx)
        })
        .bucket_bytes(options.bucket);
    let report = trainer.run(&mut model, |epoch| loader.epoch(epoch as u64), &mut objective)?;
    check_replicas(world, &model)?;

    let right = map_reduce(world, test.len(), |i| {
        let one = Batch::gather(&test, vec![i])?;
        let logits = model.forward(&one.features, &mut Ctx::eval())?;
        let labels: &Indices = one.labels()?;
        Ok::<_, Error>(vec![metric::accuracy(&logits, labels)? as f32])
    })?;
    if world.is_root() {
        let seen = report.history.records.last().map_or(f64::NAN, |r| r.train["loss"]);
        let accuracy = right[0] / test.len() as f32;
        println!(
            "loss {:016x} accuracy {accuracy:.4} weights {:016x}",
            seen.to_bits(),
            hash(&model)
        );
    }
    Ok(())
}

/// FNV-1a over the bits of parameters and buffers.
fn hash(model: &Sequential) -> u64 {
    let params = model.params().into_iter().flat_map(|(_, p)| p.tensor().to_vec());
    let buffers = model.buffers().into_iter().flat_map(|(_, b)| b.tensor().to_vec());
    params
        .chain(buffers)
        .flat_map(|x| x.to_bits().to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

fn main() -> ExitCode {
    let options = Options::parse();
    let told = |error: &Error| eprintln!("mpi_train: {error}");
    match Mpi::run(|world| train(world, &options), told) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
