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
//! | [`dist`] | `tl-dist` | training on several processes or machines |
//!
//! Each technique, `models` and `dist` is a feature of its own name, all on by default;
//! `rayon` (default) uses all cores, `image` reads folders of pictures,
//! `progress` draws a bar while a network trains, `mpi` lets [`dist`] run under
//! `mpirun` (it needs an MPI library). [`recommend`] says which
//! technique to try first with what you have.

mod recommend;

pub use recommend::{Advice, Gap, Recommendation, Situation, Technique, recommend};
#[cfg(feature = "dann")]
pub use tl_dann as dann;
pub use tl_data as data;
#[cfg(feature = "dist")]
pub use tl_dist as dist;
#[cfg(feature = "distill")]
pub use tl_distill as distill;
#[cfg(feature = "finetune")]
pub use tl_finetune as finetune;
#[cfg(feature = "maml")]
pub use tl_maml as maml;
#[cfg(feature = "models")]
pub use tl_models as models;
#[cfg(feature = "multitask")]
pub use tl_multitask as multitask;
pub use tl_nn as nn;
#[cfg(feature = "ssl")]
pub use tl_ssl as ssl;
pub use tl_tensor as tensor;
#[cfg(feature = "zeroshot")]
pub use tl_zeroshot as zeroshot;

/// What most programs need: `use transfer_learning::prelude::*`.
pub mod prelude {
    pub use tl_nn::{Ctx, Forward, Module, ModuleExt, Param};
    pub use tl_tensor::{GradOptions, Indices, Shape, Tensor, grad};
}

/// The snippets of the repository's front page and of its guides.
#[cfg(doctest)]
mod guides {
    macro_rules! guides {
        ($($name:ident $path:literal)*) => {
            $(#[doc = include_str!(concat!("../../../", $path))] pub(crate) struct $name;)*
        };
    }
    guides! {
        Readme "README.md"
        AddingAMethod "docs/adding-a-method.md"
        AddingAnOperation "docs/adding-an-operation.md"
        Distributed "docs/distributed.md"
        Errors "docs/errors.md"
        Migrating "docs/migrating.md"
        Numerics "docs/numerics.md"
        YourOwnData "docs/your-own-data.md"
        ZeroShot "docs/zero-shot.md"
    }
}
