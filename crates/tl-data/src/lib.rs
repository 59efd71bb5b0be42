//! Data for transfer learning: small real data sets in the binary, readers of
//! common files, splits, batches that can be resumed, and transforms.
//!
//! ```
//! use rand::SeedableRng;
//! use tl_data::{Batching, samples, transform::RandomAffine};
//!
//! # fn main() -> tl_data::Result<()> {
//! let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
//! let (train, test) = samples::digits().split(0.8, &mut rng)?;
//! let (few, _rest) = train.k_shot(10, &mut rng)?;
//! let loader = few
//!     .batches(Batching::new(32).shuffled(1))?
//!     .transform(RandomAffine::new().degrees(10.0).translate(0.1));
//! for batch in loader.epoch(0) {
//!     assert_eq!(batch?.features.dims()[1..], [1, 8, 8]);
//! }
//! assert_eq!(test.len(), 359);
//! # Ok(())
//! # }
//! ```
//!
//! - [`samples`]: digits in two domains, garments, tables;
//! - [`read`]: IDX, NumPy, CSV, safetensors, folders of images;
//! - [`Dataset`], [`split`]: hold-out, folds, a few samples of each class;
//! - [`Loader`], [`Pairs`], [`Several`]: batches as a function of seed and epoch;
//! - [`transform`]: standardising and augmentation.
//!
//! # Features
//! - `rayon` (default): transforms use the threads of the current pool, with
//!   the same results for any number of them;
//! - `npy` (default): `.npy` and `.npz` files;
//! - `image`: folders of PNG and JPEG images.

mod batch;
mod dataset;
mod error;
pub mod read;
mod rng;
pub mod samples;
pub mod split;
pub mod transform;

pub use batch::{Batch, Batches, Batching, Loader, Order, PairBatches, Pairs, Several};
pub use dataset::{Dataset, Targets};
pub use error::{Error, Result};
pub use split::Fold;
pub use tl_tensor::{Indices, Tensor};
