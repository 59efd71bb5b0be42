//! IDX, the format of MNIST and its kin, plain or gzipped.
//!
//! Two zero bytes, the type, the number of axes, the sizes as big-endian
//! `u32`, then the numbers, big-endian and row-major (Y. LeCun, *The MNIST
//! database*).

use super::{
    Limits, NumArray,
    array::{Kind, extent},
    source,
};
use crate::{Dataset, Error, Result};
use std::{io::Read, path::Path};
use tl_tensor::{Shape, Tensor};

const FORMAT: &str = "IDX";

/// Reads a file, gzipped or not, within the default [`Limits`].
///
/// # Errors
/// A file that cannot be opened, or is damaged, cut off, or of another format.
pub fn read(path: impl AsRef<Path>) -> Result<NumArray> {
    read_within(path, Limits::default())
}

/// As [`read`], within other limits.
///
/// # Errors
/// As [`read`]; content larger than the limits.
pub fn read_within(path: impl AsRef<Path>, limits: Limits) -> Result<NumArray> {
    let path = path.as_ref();
    source::open(path).and_then(|file| decode(file, limits)).map_err(|e| e.at(path))
}

/// Reads the bytes of a file, gzipped or not.
///
/// # Errors
/// As [`read_within`].
/// ```
/// use tl_data::read::{Limits, idx};
///
/// # fn main() -> tl_data::Result<()> {
/// // Unsigned bytes, one axis of two.
/// let array = idx::parse(&[0, 0, 8, 1, 0, 0, 0, 2, 7, 9], Limits::default())?;
/// assert_eq!(array.to_labels()?, [7, 9]);
/// # Ok(())
/// # }
/// ```
pub fn parse(bytes: &[u8], limits: Limits) -> Result<NumArray> {
    source::inflate(bytes).and_then(|bytes| decode(bytes, limits))
}

/// Images with their labels: features `[n, 1, height, width]` with bytes
/// scaled from 0..255 to 0..1 (other types are left as they are), from an
/// array `[n, height, width]`.
///
/// # Errors
/// As [`read`]; images that are not of that shape; another number of labels
/// than images, or labels without a name.
pub fn labelled_images<S: Into<String>>(
    images: impl AsRef<Path>,
    labels: impl AsRef<Path>,
    class_names: impl IntoIterator<Item = S>,
) -> Result<Dataset> {
    combine(&read(images)?, &read(labels)?, 255.0, class_names)
}

/// Images `[n, height, width]` and labels `[n]` as a data set. Bytes are
/// divided by `white`.
pub(crate) fn combine<S: Into<String>>(
    images: &NumArray,
    labels: &NumArray,
    white: f32,
    class_names: impl IntoIterator<Item = S>,
) -> Result<Dataset> {
    let &[n, height, width] = images.dims() else {
        return Err(Error::shape("labelled_images", images.dims(), "[n, height, width]"));
    };
    let mut pixels = images.to_f32();
    if matches!(images.numbers(), super::Numbers::U8(_)) {
        pixels.iter_mut().for_each(|p| *p /= white);
    }
    let features = Tensor::from_vec(pixels, Shape::new(&[n, 1, height, width])?)?;
    Dataset::classification(features, labels.to_labels()?, class_names)
}

fn decode(mut bytes: impl Read, limits: Limits) -> Result<NumArray> {
    let head = source::exactly(FORMAT, &mut bytes, 4)?;
    let kind = match head[..] {
        [0, 0, 0x08, _] => Kind::U8,
        [0, 0, 0x09, _] => Kind::I8,
        [0, 0, 0x0b, _] => Kind::I16,
        [0, 0, 0x0c, _] => Kind::I32,
        [0, 0, 0x0d, _] => Kind::F32,
        [0, 0, 0x0e, _] => Kind::F64,
        _ => {
            let problem = format!("it begins with {head:02x?}; expected 00 00, a type, the axes");
            return Err(Error::malformed(FORMAT, problem));
        }
    };
    let sizes = source::exactly(FORMAT, &mut bytes, 4 * u64::from(head[3]))?;
    let dims: Vec<usize> =
        sizes.as_chunks::<4>().0.iter().map(|b| u32::from_be_bytes(*b) as usize).collect();
    let size = extent(FORMAT, &dims, kind.width())?;
    limits.check(FORMAT, size)?;
    let data = source::exactly(FORMAT, &mut bytes, size)?;
    source::ended(FORMAT, &mut bytes)?;
    Ok(NumArray::new(dims, kind.decode(&data, true)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::Numbers;
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    fn parse_default(bytes: &[u8]) -> Result<NumArray> {
        parse(bytes, Limits::default())
    }

    #[test]
    fn every_type_is_read() {
        let of = |kind: u8, data: &[u8]| {
            let bytes = [&[0, 0, kind, 1, 0, 0, 0, 1], data].concat();
            parse_default(&bytes).unwrap().numbers().clone()
        };
        assert_eq!(of(0x08, &[200]), Numbers::U8(vec![200]));
        assert_eq!(of(0x09, &[200]), Numbers::I8(vec![-56]));
        assert_eq!(of(0x0b, &[1, 0]), Numbers::I16(vec![256]));
        assert_eq!(of(0x0c, &[0xff; 4]), Numbers::I32(vec![-1]));
        assert_eq!(of(0x0d, &1.5f32.to_be_bytes()), Numbers::F32(vec![1.5]));
        assert_eq!(of(0x0e, &2.5f64.to_be_bytes()), Numbers::F64(vec![2.5]));
    }

    #[test]
    fn a_header_that_promises_too_much_costs_nothing() {
        // 2^32 - 1 by 2^31 bytes.
        let huge = [0, 0, 8, 2, 255, 255, 255, 255, 127, 255, 255, 255, 1];
        assert!(matches!(parse_default(&huge), Err(Error::TooLarge { .. })));
        let large = [0, 0, 8, 1, 128, 0, 0, 0, 1, 2, 3];
        let e = parse_default(&large).unwrap_err();
        assert!(e.to_string().contains("after 3 of 2147483648 bytes"), "{e}");
        let many_axes = [&[0, 0, 8, 255][..], &[255; 255 * 4]].concat();
        assert!(matches!(parse_default(&many_axes), Err(Error::Malformed { .. })));
    }

    #[test]
    fn files_are_named_in_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels");
        assert!(read(&path).unwrap_err().to_string().contains("labels"));
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(&[0, 0, 8, 1, 0, 0, 0, 3, 1, 0, 2]).unwrap();
        let gz = gz.finish().unwrap();
        std::fs::write(&path, &gz).unwrap();
        assert_eq!(read(&path).unwrap().to_labels().unwrap(), [1, 0, 2]);
        std::fs::write(&path, &gz[..gz.len() - 9]).unwrap();
        assert!(matches!(read(&path), Err(Error::File { .. })));
    }

    #[test]
    fn images_meet_their_labels() {
        let image = NumArray::new(vec![2, 1, 2], Numbers::U8(vec![0, 255, 51, 0]));
        let label = |labels: Vec<u8>| NumArray::new(vec![labels.len()], Numbers::U8(labels));
        let data = combine(&image, &label(vec![1, 0]), 255.0, ["a", "b"]).unwrap();
        assert_eq!(data.features().dims(), [2, 1, 1, 2]);
        assert_eq!(data.features().to_vec(), [0.0, 1.0, 0.2, 0.0]);
        assert!(combine(&image, &label(vec![1]), 255.0, ["a", "b"]).is_err());
        assert!(combine(&image, &label(vec![1, 2]), 255.0, ["a", "b"]).is_err());
        assert!(combine(&label(vec![1, 2]), &label(vec![1, 2]), 255.0, ["a"]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_result(bytes: Vec<u8>, kind in 7u8..15, axes in 0u8..4) {
            let _ = parse_default(&bytes);
            let _ = parse_default(&[&[0, 0, kind, axes], &bytes[..]].concat());
            let _ = parse_default(&[&[0x1f, 0x8b, 8, 0], &bytes[..]].concat());
        }

        #[test]
        fn what_is_cut_off_or_too_long_is_an_error(dims in prop::collection::vec(0usize..5, 1..4)) {
            let count: usize = dims.iter().product();
            let mut bytes = vec![0, 0, 8, dims.len() as u8];
            dims.iter().for_each(|&d| bytes.extend((d as u32).to_be_bytes()));
            bytes.extend((0..count).map(|x| x as u8));
            let read = parse_default(&bytes).unwrap();
            prop_assert_eq!(read.dims(), &dims[..]);
            prop_assert_eq!(read.len(), count);
            for cut in 0..bytes.len() {
                prop_assert!(parse_default(&bytes[..cut]).is_err());
            }
            bytes.push(0);
            prop_assert!(parse_default(&bytes).is_err());
        }
    }
}
