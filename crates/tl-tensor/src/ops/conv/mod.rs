//! Convolution, pooling, padding and resizing.

mod convolution;
mod pad;
mod pool;
mod resize;
mod unfold;

pub use convolution::Conv;
pub use pad::PadMode;
pub use pool::Pool;
