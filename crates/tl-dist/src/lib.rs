//! Training on several processes or machines with the result of one.
//!
//! Each rank holds the whole model and works on its part of every batch; the
//! gradients are summed over the ranks, and all take the same step.
//!
//! ```
//! use tl_data::{Batch, Batching, samples};
//! use tl_dist::{Collective, DataParallel, Error, Plan, Reduction, ShardedLoader, SharedCheckpoint, Threads};
//! use tl_nn::{AdamW, CrossEntropy, Flatten, Forward, Linear, Optimizer, Sequential, Trainer};
//! # use rand::SeedableRng;
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("run.safetensors");
//!
//! // The same on `Solo`, `Threads` and `Mpi`.
//! let train = |world: &dyn Collective| {
//!     let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
//!     let mut model = Sequential::new().push(Flatten).push(Linear::new(64, 10, &mut rng));
//!     let plan = Plan::new(world, Reduction::Deterministic { shards: 8 })?;
//!     let loader = ShardedLoader::new(&samples::digits(), Batching::new(128).shuffled(0), plan)?;
//!     let mut objective = DataParallel::new(world, plan, |model: &Sequential, b: &Batch, cx| {
//!         let logits = model.forward(&b.features, cx)?;
//!         let labels = b.labels().map_err(tl_nn::Error::other)?;
//!         Ok(CrossEntropy::new().loss(&logits, labels)?)
//!     });
//!     let checkpoint = SharedCheckpoint::new(world, &path)?;
//!     let trainer = checkpoint.attach(Trainer::new(Optimizer::new(AdamW::new(1e-2)), 3));
//!     let report = trainer.run(&mut model, |e| loader.epoch(e as u64), &mut objective)?;
//!     Ok::<_, Error>(report.history.records[2].train["loss"])
//! };
//! let losses = Threads::run(2, |world| train(world))?;
//! assert!(losses[0] < 1.5 && losses[0] == losses[1]);
//! # Ok::<(), Error>(())
//! ```
//!
//! | what | with |
//! |---|---|
//! | ranks | [`Solo`], [`Threads`], `Mpi` (feature `mpi`); or your own [`Collective`] |
//! | who computes what, how sums are made | [`Plan`], [`Reduction`] |
//! | each rank's part of every batch | [`ShardedLoader`], [`Shards`] |
//! | gradients of the global batch | [`DataParallel`] |
//! | checkpoints, start again on other ranks | [`SharedCheckpoint`] |
//! | the same model everywhere | [`broadcast_model`], [`check_replicas`] |
//! | tasks of meta-learning, a teacher's outputs, validation | [`map_reduce`], [`map_rows`] |
//! | what to expect of more ranks | [`scaling`] |
//!
//! # The same bits on any number of ranks
//! With [`Reduction::Deterministic`] a global batch is cut into a fixed number of
//! micro-shards, whose gradients are summed in a tree that depends on nothing but
//! that number. Any number of ranks from 1 up to it gives the same bits, as long as
//! micro-shards, batch size, seed and machine type are the same. More ranks are
//! refused.
//!
//! # Features
//! - `rayon` (default): kernels use the threads of the current pool;
//! - `mpi`: ranks under `mpirun`. Needs Open MPI or MPICH with headers, and
//!   libclang (Debian: `libopenmpi-dev openmpi-bin libclang-dev`).

mod bucket;
mod buffers;
mod checkpoint;
mod collective;
mod error;
mod loader;
mod losses;
mod parallel;
mod plan;
mod replicas;
mod rng;
pub mod scaling;
mod shards;
mod sum;
mod tree;
mod work;

pub use checkpoint::SharedCheckpoint;
#[cfg(feature = "mpi")]
pub use collective::Mpi;
pub use collective::{Collective, Solo, Threads};
pub use error::{Error, Result};
pub use loader::{ShardedBatches, ShardedLoader};
pub use parallel::{BUCKET_BYTES, DataParallel, LossOf};
pub use plan::{Plan, Reduction};
pub use replicas::{broadcast_model, check_replicas};
pub use shards::Shards;
pub use work::{flatten, map_reduce, map_rows, unflatten};

/// The snippet of the front page.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
