//! Transfer learning on ordinary CPUs, in Rust alone.
//!
//! One module per crate of the workspace; each crate also stands on its own.
//!
//! | module | crate | what for |
//! |---|---|---|
//! | [`tensor`] | `tl-tensor` | tensors, automatic differentiation of any order |
//! | [`nn`] | `tl-nn` | layers, losses, optimisers, the training loop |
//! | [`data`] | `tl-data` | data sets, readers, batches, transforms |
//! | [`models`] | `tl-models` | back-bones with PyTorch's names |
//! | [`finetune`] | `tl-finetune` | feature extraction and fine-tuning |
//! | [`dann`] | `tl-dann` | domain adaptation |
//! | [`multitask`] | `tl-multitask` | multi-task learning |
//! | [`distill`] | `tl-distill` | knowledge distillation |
//! | [`ssl`] | `tl-ssl` | self-supervised learning |
//! | [`zeroshot`] | `tl-zeroshot` | zero-shot learning |
//! | [`maml`] | `tl-maml` | meta-learning |

pub use tl_dann as dann;
pub use tl_data as data;
pub use tl_distill as distill;
pub use tl_finetune as finetune;
pub use tl_maml as maml;
pub use tl_models as models;
pub use tl_multitask as multitask;
pub use tl_nn as nn;
pub use tl_ssl as ssl;
pub use tl_tensor as tensor;
pub use tl_zeroshot as zeroshot;

/// What most programs need: `use transfer_learning::prelude::*`.
pub mod prelude {
    pub use tl_nn::{Ctx, Forward, Module, ModuleExt, Param};
    pub use tl_tensor::{GradOptions, Indices, Shape, Tensor, grad};
}

/// The snippets of the repository's front page.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
