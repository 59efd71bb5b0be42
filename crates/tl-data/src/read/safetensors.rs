//! Arrays by name in the safetensors format.

use super::{Limits, NumArray, array::Kind, source};
use crate::{Error, Result};
use safetensors::{Dtype, SafeTensors};
use std::{collections::BTreeMap, path::Path};
use tl_tensor::Tensor;

const FORMAT: &str = "safetensors";

/// Reads all arrays of a file within the default [`Limits`].
///
/// # Errors
/// A file that cannot be opened, is damaged, cut off, of another format or
/// has a type of numbers that is not read.
pub fn read(path: impl AsRef<Path>) -> Result<BTreeMap<String, NumArray>> {
    let path = path.as_ref();
    let limits = Limits::default();
    std::fs::File::open(path)
        .map_err(Error::from)
        .and_then(|file| source::all(FORMAT, file, limits))
        .and_then(|bytes| parse(&bytes))
        .map_err(|e| e.at(path))
}

/// Reads one array of a file as a tensor of `f32`.
///
/// # Errors
/// As [`read`]; no array of that name (the error lists those there are).
pub fn read_tensor(path: impl AsRef<Path>, name: &str) -> Result<Tensor> {
    let path = path.as_ref();
    let arrays = read(path)?;
    match arrays.get(name) {
        Some(array) => array.to_tensor(),
        None => Err(Error::unknown("tensor", name, arrays.keys().map(String::as_str))),
    }
    .map_err(|e| e.at(path))
}

/// Reads the bytes of a file.
///
/// # Errors
/// As [`read`].
pub fn parse(bytes: &[u8]) -> Result<BTreeMap<String, NumArray>> {
    let file =
        SafeTensors::deserialize(bytes).map_err(|e| Error::malformed(FORMAT, e.to_string()))?;
    let mut arrays = BTreeMap::new();
    for (name, view) in file.iter() {
        let kind = match view.dtype() {
            Dtype::BOOL | Dtype::U8 => Kind::U8,
            Dtype::I8 => Kind::I8,
            Dtype::U16 => Kind::U16,
            Dtype::I16 => Kind::I16,
            Dtype::U32 => Kind::U32,
            Dtype::I32 => Kind::I32,
            Dtype::U64 => Kind::U64,
            Dtype::I64 => Kind::I64,
            Dtype::F16 => Kind::F16,
            Dtype::BF16 => Kind::Bf16,
            Dtype::F32 => Kind::F32,
            Dtype::F64 => Kind::F64,
            other => {
                return Err(Error::Unsupported {
                    format: FORMAT,
                    what: format!("tensor `{name}` of type {other:?}"),
                    expected: "whole numbers, F16, BF16, F32 or F64",
                });
            }
        };
        let dims = view.shape().to_vec();
        let size = super::array::extent(FORMAT, &dims, kind.width())?;
        if size != view.data().len() as u64 {
            let problem = format!("tensor `{name}` has {} bytes for {dims:?}", view.data().len());
            return Err(Error::malformed(FORMAT, problem));
        }
        arrays.insert(name.to_owned(), NumArray::new(dims, kind.decode(view.data(), false)));
    }
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
    }

    fn two() -> Vec<u8> {
        let header = r#"{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"y":{"dtype":"BF16","shape":[1,1],"data_offsets":[8,10]}}"#;
        let data = [&1.0f32.to_le_bytes()[..], &2.0f32.to_le_bytes(), &[0x40, 0x40]].concat();
        file(header, &data)
    }

    #[test]
    fn tensors_come_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        std::fs::write(&path, two()).unwrap();
        assert_eq!(read_tensor(&path, "x").unwrap().to_vec(), [1.0, 2.0]);
        let y = read_tensor(&path, "y").unwrap();
        assert_eq!((y.dims(), y.item().unwrap()), (&[1, 1][..], 3.0));
        let e = read_tensor(&path, "z").unwrap_err().to_string();
        assert!(e.contains("there are: x, y"), "{e}");
    }

    #[test]
    fn damaged_files_are_errors() {
        let good = two();
        for cut in 0..good.len() {
            assert!(matches!(parse(&good[..cut]), Err(Error::Malformed { .. })));
        }
        let huge = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
        assert!(parse(&huge).is_err());
        let wrong =
            r#"{"x":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,8]}}"#;
        assert!(parse(&file(wrong, &[0; 8])).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_result(data: Vec<u8>, at: prop::sample::Index, byte: u8) {
            let _ = parse(&data);
            let mut changed = two();
            let at = at.index(changed.len());
            changed[at] = byte;
            let _ = parse(&changed);
        }
    }
}
