//! Neural network modules, losses, optimisers and one training loop, with
//! PyTorch's names and layouts.
//!
//! A model is a plain value: a struct whose public fields are its parameters
//! and parts. Changing the head is an assignment, freezing takes a pattern of
//! paths, and a state dict saved here loads in PyTorch.

mod ctx;
mod error;
mod fs;
mod glob;
pub mod init;
mod layer;
pub mod loss;
pub mod metric;
mod module;
mod optim;
mod schedule;
#[cfg(feature = "shallow")]
pub mod shallow;
mod train;
mod weights;

pub use ctx::{Ctx, Mode, NormStats, Update};
pub use error::{Error, Result, Within};
pub use glob::Glob;
pub use layer::{
    Act, AdaptiveAvgPool2d, AttentionMask, AvgPool2d, BatchNorm, BatchNorm1d, BatchNorm2d, Conv1d,
    Conv2d, ConvTranspose2d, DropPath, Dropout, Dropout2d, Embedding, Flatten, GlobalAvgPool,
    GroupNorm, Gru, InstanceNorm2d, Layer, LayerNorm, Linear, Lstm, MaxPool2d, MultiHeadAttention,
    Recurrent, Residual, Sequential, TransformerEncoder, TransformerEncoderLayer,
};
pub use module::{Adapt, Buffer, Forward, Module, ModuleExt, Param, TokenEncoder, Visit, VisitMut};
pub use optim::{
    Adam, AdamW, Climbed, Ema, Group, Lamb, Lars, Lbfgs, Lookahead, Minimized, Optimizer,
    OptimizerState, ParamState, RmsProp, Rule, Sam, Sgd, StepInfo, StepReport, Swa,
};
pub use schedule::{Anneal, Plateau, Schedule};
pub use tl_tensor::{
    Activation, Conv, CrossEntropy, GradOptions, Gradients, Indices, Pool, Reduction, Shape,
    Tensor, grad,
};
pub use train::{
    Clock, EarlyStopping, Event, History, Losses, LrCurve, LrFinder, Metrics, Objective, Record,
    TrainReport, Trainer,
};
pub use weights::{Dtype, Load, LoadReport, Mismatch, StateDict, Weight};
