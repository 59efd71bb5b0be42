//! Layers, one a file, with PyTorch's names, defaults and layouts.

mod activation;
mod attention;
mod batch_norm;
mod conv;
mod dropout;
mod embedding;
mod linear;
mod norm;
mod pool;
mod recurrent;
mod sequential;
mod transformer;

pub use activation::{Act, Flatten};
pub use attention::{AttentionMask, MultiHeadAttention};
pub use batch_norm::{BatchNorm, BatchNorm1d, BatchNorm2d};
pub use conv::{Conv1d, Conv2d, ConvTranspose2d};
pub use dropout::{DropPath, Dropout, Dropout2d};
pub use embedding::Embedding;
pub use linear::Linear;
pub use norm::{GroupNorm, InstanceNorm2d, LayerNorm};
pub use pool::{AdaptiveAvgPool2d, AvgPool2d, GlobalAvgPool, MaxPool2d};
pub use recurrent::{Gru, Lstm, Recurrent};
pub use sequential::{Layer, Residual, Sequential};
pub use transformer::{TransformerEncoder, TransformerEncoderLayer};
