//! Batches: which samples come together, in what order, prepared by whom.

mod loader;
mod order;
mod pairs;
mod prefetch;
mod several;

pub use loader::{Batches, Batching, Loader};
pub use order::Order;
pub use pairs::{PairBatches, Pairs};
pub use several::Several;

use crate::{Dataset, Error, Result, Targets};
use tl_tensor::{Indices, Tensor};

/// Some samples that are processed together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Features, `[size, ...]`.
    pub features: Tensor,
    /// What is known about these samples.
    pub targets: Targets,
    /// The position of each sample in the data set, `size` of them.
    pub indices: Vec<usize>,
}

impl Batch {
    /// The samples of `data` at `indices`.
    ///
    /// # Errors
    /// An index that is not less than the number of samples.
    pub fn gather(data: &Dataset, indices: Vec<usize>) -> Result<Self> {
        let part = data.select(&indices)?;
        Ok(Self { features: part.features().clone(), targets: part.targets().clone(), indices })
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The class of each sample, `[size]`.
    ///
    /// # Errors
    /// A batch without classes.
    pub fn labels(&self) -> Result<&Indices> {
        match &self.targets {
            Targets::Classes { labels, .. } => Ok(labels),
            _ => Err(Error::Lacks { op: "labels", missing: "classes" }),
        }
    }

    /// The target numbers of each sample, `[size]` or `[size, ...]`.
    ///
    /// # Errors
    /// A batch without them.
    pub fn values(&self) -> Result<&Tensor> {
        match &self.targets {
            Targets::Values(values) => Ok(values),
            _ => Err(Error::Lacks { op: "values", missing: "target numbers" }),
        }
    }

    /// The targets as class probabilities, `[size, classes]`: one-hot rows for
    /// classes, the numbers themselves if the batch has those already.
    ///
    /// # Errors
    /// An unlabelled batch; numbers that are not `[size, classes]`.
    pub fn soft_targets(&self) -> Result<Tensor> {
        match &self.targets {
            Targets::Classes { labels, names } => {
                let mut out = Tensor::zeros([labels.len(), names.len()]);
                out.update_in_place(|out| {
                    for (i, &label) in labels.as_slice().iter().enumerate() {
                        out[i * names.len() + label] = 1.0;
                    }
                });
                Ok(out)
            }
            Targets::Values(values) if values.rank() == 2 => Ok(values.clone()),
            Targets::Values(values) => {
                Err(Error::shape("soft_targets", values.dims(), "[size, classes]"))
            }
            Targets::None => Err(Error::Lacks { op: "soft_targets", missing: "targets" }),
        }
    }
}
