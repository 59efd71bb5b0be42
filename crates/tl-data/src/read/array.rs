//! Arrays as they stand in files, before they become tensors.

use crate::{Error, Result};
use half::{bf16, f16};
use tl_tensor::{Shape, Tensor};

/// The numbers of an array, in the type that the file has.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is named after its type")]
pub enum Numbers {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// Calls `$body` with the vector of any variant.
macro_rules! with_numbers {
    ($numbers:expr, $data:ident => $body:expr) => {
        match $numbers {
            Numbers::U8($data) => $body,
            Numbers::I8($data) => $body,
            Numbers::U16($data) => $body,
            Numbers::I16($data) => $body,
            Numbers::U32($data) => $body,
            Numbers::I32($data) => $body,
            Numbers::U64($data) => $body,
            Numbers::I64($data) => $body,
            Numbers::F16($data) => $body,
            Numbers::Bf16($data) => $body,
            Numbers::F32($data) => $body,
            Numbers::F64($data) => $body,
        }
    };
}

/// The types that a file may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    Bf16,
    F32,
    F64,
}

impl Kind {
    /// Bytes of one number.
    pub(super) fn width(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Numbers from their bytes; a rest shorter than a number is left out.
    pub(super) fn decode(self, bytes: &[u8], big_endian: bool) -> Numbers {
        macro_rules! decode {
            ($variant:ident, $type:ty) => {{
                const WIDTH: usize = size_of::<$type>();
                let parts = bytes.as_chunks::<WIDTH>().0.iter();
                Numbers::$variant(if big_endian {
                    parts.map(|b| <$type>::from_be_bytes(*b)).collect()
                } else {
                    parts.map(|b| <$type>::from_le_bytes(*b)).collect()
                })
            }};
        }
        match self {
            Self::U8 => Numbers::U8(bytes.to_vec()),
            Self::I8 => decode!(I8, i8),
            Self::U16 => decode!(U16, u16),
            Self::I16 => decode!(I16, i16),
            Self::U32 => decode!(U32, u32),
            Self::I32 => decode!(I32, i32),
            Self::U64 => decode!(U64, u64),
            Self::I64 => decode!(I64, i64),
            Self::F16 => decode!(F16, f16),
            Self::Bf16 => decode!(Bf16, bf16),
            Self::F32 => decode!(F32, f32),
            Self::F64 => decode!(F64, f64),
        }
    }
}

/// Numbers that fit into `f64`, not always exactly.
trait ToF64: Copy {
    fn to_f64(self) -> f64;
}

macro_rules! to_f64 {
    ($($type:ty: $x:ident => $value:expr),* $(,)?) => {$(
        impl ToF64 for $type {
            fn to_f64(self) -> f64 {
                let $x = self;
                $value
            }
        }
    )*};
}

to_f64!(
    u8: x => x.into(), i8: x => x.into(), u16: x => x.into(), i16: x => x.into(),
    u32: x => x.into(), i32: x => x.into(), u64: x => x as f64, i64: x => x as f64,
    f16: x => x.to_f64(), bf16: x => x.to_f64(), f32: x => x.into(), f64: x => x,
);

/// An array in row-major order with any number of axes.
#[derive(Clone, Debug, PartialEq)]
pub struct NumArray {
    dims: Vec<usize>,
    numbers: Numbers,
}

impl NumArray {
    /// The caller has made sure that there are as many numbers as `dims` say.
    pub(super) fn new(dims: Vec<usize>, numbers: Numbers) -> Self {
        debug_assert_eq!(dims.iter().product::<usize>(), with_numbers!(&numbers, d => d.len()));
        Self { dims, numbers }
    }

    /// How many numbers there are.
    pub(super) fn count(numbers: &Numbers) -> usize {
        with_numbers!(numbers, d => d.len())
    }

    /// The sizes of the axes.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The numbers, row-major.
    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        Self::count(&self.numbers)
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory that the numbers take.
    #[cfg(feature = "npy")]
    pub(super) fn byte_len(&self) -> u64 {
        with_numbers!(&self.numbers, d => size_of_val(d.as_slice())) as u64
    }

    /// The numbers as `f32`, rounded where they do not fit. NaN stays NaN.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.numbers {
            Numbers::F32(data) => data.clone(),
            other => with_numbers!(other, d => d.iter().map(|x| x.to_f64() as f32).collect()),
        }
    }

    /// A tensor of `f32`, rounded where the numbers do not fit.
    ///
    /// # Errors
    /// More axes than a tensor has.
    pub fn to_tensor(&self) -> Result<Tensor> {
        Ok(Tensor::from_vec(self.to_f32(), Shape::new(&self.dims)?)?)
    }

    /// The numbers as class labels.
    ///
    /// # Errors
    /// Numbers that are negative, not whole or beyond 2^32.
    pub fn to_labels(&self) -> Result<Vec<usize>> {
        fn label((sample, value): (usize, f64)) -> Result<usize> {
            if value >= 0.0 && value.fract() == 0.0 && value <= f64::from(u32::MAX) {
                Ok(value as usize)
            } else {
                Err(Error::NotALabel { sample, value })
            }
        }
        with_numbers!(&self.numbers, d => d.iter().map(|x| x.to_f64()).enumerate().map(label).collect())
    }

    /// The same array from numbers whose first axis changes fastest.
    pub(super) fn from_column_major(dims: Vec<usize>, numbers: Numbers) -> Self {
        macro_rules! reorder {
            ($($variant:ident)*) => {
                match numbers {
                    $(Numbers::$variant(data) => Numbers::$variant(row_major(&dims, &data)),)*
                }
            };
        }
        let numbers = reorder!(U8 I8 U16 I16 U32 I32 U64 I64 F16 Bf16 F32 F64);
        Self::new(dims, numbers)
    }
}

/// The elements of a column-major array in row-major order.
fn row_major<T: Copy>(dims: &[usize], data: &[T]) -> Vec<T> {
    let mut at = vec![0; dims.len()];
    let mut from = 0;
    let mut out = Vec::with_capacity(data.len());
    for _ in 0..data.len() {
        out.push(data[from]);
        let mut step = data.len();
        for axis in (0..dims.len()).rev() {
            step /= dims[axis];
            at[axis] += 1;
            from += step;
            if at[axis] < dims[axis] {
                break;
            }
            from -= step * dims[axis];
            at[axis] = 0;
        }
    }
    out
}

/// The number of elements of an array and of its bytes, if it can exist.
pub(super) fn extent(format: &'static str, dims: &[usize], width: usize) -> Result<u64> {
    let count = dims.iter().try_fold(width, |n, &d| n.checked_mul(d));
    // A zero among the sizes must not hide the others.
    let whole = dims.iter().try_fold(width, |n, &d| n.checked_mul(d.max(1)));
    match (count, whole) {
        (Some(count), Some(whole)) if whole <= isize::MAX as usize => Ok(count as u64),
        _ => Err(Error::malformed(format, format!("an array of shape {dims:?} cannot exist"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_values() {
        let array = NumArray::new(vec![2], Kind::I16.decode(&[0xff, 0xfe, 0, 3], true));
        assert_eq!(array.numbers(), &Numbers::I16(vec![-2, 3]));
        assert_eq!(array.to_f32(), [-2.0, 3.0]);
        let e = array.to_labels().unwrap_err();
        assert!(matches!(e, Error::NotALabel { sample: 0, .. }), "{e}");
        let half = Kind::Bf16.decode(&[0x80, 0x3f, 0x00, 0xc0], false);
        let array = NumArray::new(vec![2, 1], half);
        assert_eq!(array.to_tensor().unwrap().to_vec(), [1.0, -2.0]);
        let floats = NumArray::new(vec![2], Numbers::F64(vec![4.0, 4.5]));
        assert!(matches!(floats.to_labels(), Err(Error::NotALabel { sample: 1, .. })));
        let nan = NumArray::new(vec![1], Numbers::F32(vec![f32::NAN]));
        assert!(nan.to_labels().is_err());
    }

    #[test]
    fn impossible_shapes_are_refused() {
        assert!(extent("npy", &[usize::MAX, 2], 1).is_err());
        assert!(extent("npy", &[0, usize::MAX, 2], 4).is_err());
        assert_eq!(extent("npy", &[], 8).unwrap(), 8);
        assert_eq!(extent("npy", &[3, 0], 8).unwrap(), 0);
        assert!(NumArray::new(vec![1; 7], Numbers::U8(vec![1])).to_tensor().is_err());
    }
}
