//! One tensor of a state dict, as it is stored.

use super::bytes::Bytes;
use crate::{Error, Result};
use half::{bf16, f16};
pub use safetensors::Dtype;
use std::{fmt, ops::Range, sync::Arc};
use tl_tensor::{Shape, Tensor};

/// A tensor of a state dict: type, shape and bytes, shared with the file that
/// they came from. Numbers are converted when they are asked for.
#[derive(Clone)]
pub struct Weight {
    dtype: Dtype,
    dims: Vec<usize>,
    bytes: Arc<Bytes>,
    range: Range<usize>,
}

impl Weight {
    pub(super) fn shared(
        dtype: Dtype,
        dims: Vec<usize>,
        bytes: Arc<Bytes>,
        range: Range<usize>,
    ) -> Self {
        Self { dtype, dims, bytes, range }
    }

    fn owned(dtype: Dtype, dims: &[usize], bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self { dtype, dims: dims.to_vec(), bytes: Arc::new(Bytes::Memory(bytes)), range }
    }

    /// A tensor, stored as `F32`.
    pub fn new(tensor: &Tensor) -> Self {
        let bytes = tensor.to_vec().into_iter().flat_map(f32::to_le_bytes).collect();
        Self::owned(Dtype::F32, tensor.dims(), bytes)
    }

    /// A tensor of whole numbers, stored as `I64`.
    pub fn integer(tensor: &Tensor) -> Self {
        let bytes = tensor.to_vec().into_iter().flat_map(|x| (x as i64).to_le_bytes()).collect();
        Self::owned(Dtype::I64, tensor.dims(), bytes)
    }

    /// How the numbers are stored.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The sizes of the dimensions.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The bytes as they are stored, little-endian.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.range.clone()]
    }

    /// The numbers as a tensor. `F32` comes through bit for bit; `F16`, `BF16`
    /// exactly; `F64` and integers are rounded to the nearest.
    ///
    /// # Errors
    /// A type that is none of these; more dimensions than a tensor may have.
    pub fn to_tensor(&self) -> Result<Tensor> {
        let shape = Shape::new(&self.dims)?;
        Ok(Tensor::from_vec(self.numbers()?, shape)?)
    }

    fn numbers(&self) -> Result<Vec<f32>> {
        fn each<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks::<N>().0.iter().map(|&chunk| f(chunk)).collect()
        }
        let bytes = self.bytes();
        Ok(match self.dtype {
            Dtype::F32 => each(bytes, f32::from_le_bytes),
            Dtype::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Dtype::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
            Dtype::I64 => each(bytes, |b| i64::from_le_bytes(b) as f32),
            Dtype::I32 => each(bytes, |b| i32::from_le_bytes(b) as f32),
            Dtype::U8 | Dtype::BOOL => each(bytes, |[b]| f32::from(b)),
            other => {
                return Err(Error::Weights(format!(
                    "numbers of type {other:?} are not supported; save them as F32, F16, BF16 or F64"
                )));
            }
        })
    }

    /// The same numbers stored as `F32`, `F16`, `BF16` or `F64`, rounded to
    /// the nearest.
    ///
    /// # Errors
    /// Another type; those of [`to_tensor`](Self::to_tensor).
    pub fn cast(&self, dtype: Dtype) -> Result<Self> {
        if dtype == self.dtype {
            return Ok(self.clone());
        }
        let numbers = self.numbers()?.into_iter();
        let bytes = match dtype {
            Dtype::F32 => numbers.flat_map(f32::to_le_bytes).collect(),
            Dtype::F16 => numbers.flat_map(|x| f16::from_f32(x).to_le_bytes()).collect(),
            Dtype::BF16 => numbers.flat_map(|x| bf16::from_f32(x).to_le_bytes()).collect(),
            Dtype::F64 => numbers.flat_map(|x| f64::from(x).to_le_bytes()).collect(),
            other => {
                return Err(Error::argument(
                    "cast",
                    "dtype",
                    format!("{other:?}"),
                    "F32, F16, BF16 or F64",
                ));
            }
        };
        Ok(Self::owned(dtype, &self.dims, bytes))
    }
}

impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Weight<{:?}>{:?}", self.dtype, self.dims)
    }
}

/// Equal type, shape and bytes.
impl PartialEq for Weight {
    fn eq(&self, other: &Self) -> bool {
        self.dtype == other.dtype && self.dims == other.dims && self.bytes() == other.bytes()
    }
}
