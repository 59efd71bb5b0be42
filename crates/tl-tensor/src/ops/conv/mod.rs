//! Convolution, pooling, padding and resizing.
