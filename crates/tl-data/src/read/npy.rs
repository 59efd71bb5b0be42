//! NumPy's arrays: one (`.npy`), or several by name (`.npz`).
//!
//! Versions 1 to 3 of the format, any byte order, C and Fortran order; types
//! `b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8`. Pickled objects, strings, complex
//! numbers and records are refused.

use super::{
    Limits, NumArray,
    array::{Kind, extent},
    source,
};
use crate::{Error, Result};
use std::{
    collections::BTreeMap,
    io::{Cursor, Read},
    path::Path,
};

const FORMAT: &str = "npy";
const MAX_HEADER: u64 = 1 << 16;

/// Reads a `.npy` file, gzipped or not, within the default [`Limits`].
///
/// # Errors
/// A file that cannot be opened, is damaged, cut off, of another format or of
/// a type that is not read.
pub fn read(path: impl AsRef<Path>) -> Result<NumArray> {
    let path = path.as_ref();
    source::open(path).and_then(|file| decode(file, Limits::default())).map_err(|e| e.at(path))
}

/// Reads the bytes of a `.npy` file.
///
/// # Errors
/// As [`read`]; content larger than the limits.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<NumArray> {
    decode(bytes, limits)
}

/// Reads all arrays of a `.npz` file within the default [`Limits`], which
/// hold for all of them together. A name is without the ending `.npy`.
///
/// # Errors
/// As [`read`]; an archive that is damaged, or has entries of other kinds.
pub fn read_npz(path: impl AsRef<Path>) -> Result<BTreeMap<String, NumArray>> {
    let path = path.as_ref();
    let limits = Limits::default();
    std::fs::File::open(path)
        .map_err(Error::from)
        .and_then(|file| source::all("npz", file, limits))
        .and_then(|bytes| parse_npz(&bytes, limits))
        .map_err(|e| e.at(path))
}

/// Reads the bytes of a `.npz` file.
///
/// # Errors
/// As [`read_npz`].
pub fn parse_npz(bytes: &[u8], limits: Limits) -> Result<BTreeMap<String, NumArray>> {
    let broken = |e: zip::result::ZipError| Error::malformed("npz", e.to_string());
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    let mut arrays = BTreeMap::new();
    let mut left = limits.max_bytes;
    for i in 0..archive.len() {
        let entry = archive.by_index(i).map_err(broken)?;
        let entry_name = entry.name().map_err(broken)?.into_owned();
        let Some(name) = entry_name.strip_suffix(".npy").map(str::to_owned) else {
            let problem = format!("its entry `{entry_name}` is not an array");
            return Err(Error::malformed("npz", problem));
        };
        let array = decode(entry, Limits::bytes(left))?;
        left = left.saturating_sub(array.byte_len());
        if arrays.insert(name.clone(), array).is_some() {
            return Err(Error::malformed("npz", format!("two arrays are called `{name}`")));
        }
    }
    Ok(arrays)
}

fn decode(mut bytes: impl Read, limits: Limits) -> Result<NumArray> {
    let start = source::exactly(FORMAT, &mut bytes, 8)?;
    if !start.starts_with(b"\x93NUMPY") {
        return Err(Error::malformed(FORMAT, "it does not begin with \\x93NUMPY"));
    }
    let long = match start[6] {
        1 => false,
        2 | 3 => true,
        version => {
            return Err(Error::Unsupported {
                format: FORMAT,
                what: format!("version {version}"),
                expected: "version 1, 2 or 3",
            });
        }
    };
    let size = source::exactly(FORMAT, &mut bytes, if long { 4 } else { 2 })?;
    let size = size.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b));
    if size > MAX_HEADER {
        return Err(Error::malformed(FORMAT, format!("its header takes {size} bytes")));
    }
    let header = source::exactly(FORMAT, &mut bytes, size)?;
    let header = String::from_utf8(header)
        .map_err(|_| Error::malformed(FORMAT, "its header is not text"))?;
    let Header { kind, big_endian, fortran, dims } = Header::parse(&header)?;
    let size = extent(FORMAT, &dims, kind.width())?;
    limits.check(FORMAT, size)?;
    let data = source::exactly(FORMAT, &mut bytes, size)?;
    source::ended(FORMAT, &mut bytes)?;
    let numbers = kind.decode(&data, big_endian);
    Ok(if fortran {
        NumArray::from_column_major(dims, numbers)
    } else {
        NumArray::new(dims, numbers)
    })
}

#[derive(Debug, PartialEq)]
struct Header {
    kind: Kind,
    big_endian: bool,
    fortran: bool,
    dims: Vec<usize>,
}

impl Header {
    /// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
    fn parse(text: &str) -> Result<Self> {
        let broken = || Error::malformed(FORMAT, format!("its header is {:?}", text.trim_end()));
        let body = text.trim().strip_prefix('{').and_then(|t| t.strip_suffix('}'));
        let mut rest = body.ok_or_else(broken)?.trim();
        let (mut descr, mut fortran, mut dims) = (None, None, None);
        while !rest.is_empty() {
            let (key, after) = quoted(rest).ok_or_else(broken)?;
            let value = after.trim_start().strip_prefix(':').ok_or_else(broken)?.trim_start();
            rest = match key {
                "descr" => {
                    // A list describes records.
                    let (text, after) = quoted(value).ok_or_else(|| unsupported("a record"))?;
                    descr = Some(element(text)?);
                    after
                }
                "fortran_order" => {
                    let (truth, after) = boolean(value).ok_or_else(broken)?;
                    fortran = Some(truth);
                    after
                }
                "shape" => {
                    let (sizes, after) = tuple(value).ok_or_else(broken)?;
                    dims = Some(sizes);
                    after
                }
                _ => return Err(broken()),
            };
            rest = rest.trim_start();
            rest = match rest.strip_prefix(',') {
                Some(after) => after.trim_start(),
                None if rest.is_empty() => rest,
                None => return Err(broken()),
            };
        }
        match (descr, fortran, dims) {
            (Some((kind, big_endian)), Some(fortran), Some(dims)) => {
                Ok(Self { kind, big_endian, fortran, dims })
            }
            _ => Err(broken()),
        }
    }
}

/// A string in single or double quotes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

fn boolean(text: &str) -> Option<(bool, &str)> {
    let no = || text.strip_prefix("False").map(|after| (false, after));
    text.strip_prefix("True").map(|after| (true, after)).or_else(no)
}

fn tuple(text: &str) -> Option<(Vec<usize>, &str)> {
    let (inside, after) = text.strip_prefix('(')?.split_once(')')?;
    let inside = inside.trim();
    let inside = inside.strip_suffix(',').unwrap_or(inside);
    if inside.trim().is_empty() {
        return Some((Vec::new(), after));
    }
    // Python 2 wrote long sizes with an L.
    let size = |s: &str| s.trim().trim_end_matches('L').parse().ok();
    Some((inside.split(',').map(size).collect::<Option<_>>()?, after))
}

/// The type and byte order of a description such as `<f4`.
fn element(text: &str) -> Result<(Kind, bool)> {
    let mut chars = text.chars();
    let (order, code) = (chars.next(), chars.as_str());
    let kind = match code {
        "u1" | "b1" => Kind::U8,
        "i1" => Kind::I8,
        "u2" => Kind::U16,
        "i2" => Kind::I16,
        "u4" => Kind::U32,
        "i4" => Kind::I32,
        "u8" => Kind::U64,
        "i8" => Kind::I64,
        "f2" => Kind::F16,
        "f4" => Kind::F32,
        "f8" => Kind::F64,
        _ => return Err(unsupported(text)),
    };
    match order {
        Some('<' | '|' | '=') => Ok((kind, false)),
        Some('>') => Ok((kind, true)),
        _ => Err(unsupported(text)),
    }
}

fn unsupported(what: &str) -> Error {
    Error::Unsupported {
        format: FORMAT,
        what: format!("the type {what:?}"),
        expected: "booleans, integers or real numbers",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::Numbers;
    use proptest::prelude::*;
    use std::io::Write;
    use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let size = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &size[..], header.as_bytes(), data].concat()
    }

    fn bytes(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!(
            "{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}          \n"
        );
        file(&header, data)
    }

    fn parse_default(bytes: &[u8]) -> Result<NumArray> {
        parse(bytes, Limits::default())
    }

    #[test]
    fn types_orders_and_shapes_are_read() {
        let read = |descr, shape, data: &[u8]| {
            parse_default(&bytes(descr, "False", shape, data)).unwrap().numbers().clone()
        };
        assert_eq!(read("<f4", "(1,)", &1.5f32.to_le_bytes()), Numbers::F32(vec![1.5]));
        assert_eq!(read(">f8", "()", &1.5f64.to_be_bytes()), Numbers::F64(vec![1.5]));
        assert_eq!(read("|b1", "(2,)", &[1, 0]), Numbers::U8(vec![1, 0]));
        assert_eq!(read("<i8", "(1, 1)", &(-7i64).to_le_bytes()), Numbers::I64(vec![-7]));
        assert_eq!(read(">i4", "(1L,)", &(-7i32).to_be_bytes()), Numbers::I32(vec![-7]));
        assert_eq!(read("<u2", "(0, 3)", &[]), Numbers::U16(vec![]));
    }

    #[test]
    fn fortran_order_becomes_row_major() {
        // [[[1, 2], [3, 4], [5, 6]]] has column-major elements 1 3 5 2 4 6.
        let array = parse_default(&bytes("|u1", "True", "(1, 3, 2)", &[1, 3, 5, 2, 4, 6])).unwrap();
        assert_eq!(array.numbers(), &Numbers::U8(vec![1, 2, 3, 4, 5, 6]));
        // Element [i, j, k] has value i + 2 j + 6 k.
        let data: Vec<u8> = (0..24).collect();
        let array = parse_default(&bytes("|u1", "True", "(2, 3, 4)", &data)).unwrap();
        let expected: Vec<f32> =
            (0..24).map(|n| (n / 12 + 2 * (n / 4 % 3) + 6 * (n % 4)) as f32).collect();
        assert_eq!(array.to_f32(), expected);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let e = parse_default(&bytes("|O", "False", "(1,)", &[0; 8])).unwrap_err();
        assert!(matches!(e, Error::Unsupported { .. }), "{e}");
        let record = file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", &[]);
        assert!(matches!(parse_default(&record), Err(Error::Unsupported { .. })));
        let e = parse_default(&bytes("<f4", "False", "(2,)", &[0; 7])).unwrap_err();
        assert!(e.to_string().contains("after 7 of 8 bytes"), "{e}");
        assert!(parse_default(&bytes("<f4", "False", "(2,)", &[0; 9])).is_err());
        assert!(parse_default(&bytes("<f4", "False", "(-2,)", &[0; 8])).is_err());
        assert!(parse_default(&file("{'descr': '<f4', 'shape': (1,)}", &[0; 4])).is_err());
        assert!(parse_default(&file("{'descr': 'é4', 'fortran_order': False}", &[])).is_err());
        let huge = bytes("<f8", "False", "(4611686018427387904, 8)", &[]);
        assert!(matches!(parse_default(&huge), Err(Error::Malformed { .. })));
        let large = bytes("<f8", "True", "(1000000000000,)", &[]);
        assert!(matches!(parse_default(&large), Err(Error::TooLarge { .. })));
    }

    fn archive(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, data) in entries {
            let options = SimpleFileOptions::default().compression_method(method);
            zip.start_file(*name, options).unwrap();
            zip.write_all(data).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn archives_stored_and_compressed() {
        let x = bytes("|u1", "False", "(2,)", &[5, 6]);
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let zip = archive(&[("x.npy", &x), ("deep/y.npy", &x)], method);
            let arrays = parse_npz(&zip, Limits::default()).unwrap();
            assert_eq!(arrays.keys().collect::<Vec<_>>(), ["deep/y", "x"]);
            assert_eq!(arrays["x"].to_labels().unwrap(), [5, 6]);
            assert!(matches!(parse_npz(&zip, Limits::bytes(3)), Err(Error::TooLarge { .. })));
            for cut in 0..zip.len() {
                assert!(parse_npz(&zip[..cut], Limits::default()).is_err());
            }
        }
        let other = archive(&[("readme.txt", b"hello")], CompressionMethod::Stored);
        assert!(parse_npz(&other, Limits::default()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_result(data: Vec<u8>, at: prop::sample::Index, byte: u8) {
            let _ = parse_default(&data);
            let _ = parse_default(&[b"\x93NUMPY\x01\x00", &data[..]].concat());
            let x = bytes("<f4", "True", "(3, 2)", &[0; 24]);
            let mut zip = archive(&[("x.npy", &x)], CompressionMethod::Deflated);
            let at = at.index(zip.len());
            zip[at] = byte;
            let _ = parse_npz(&zip, Limits::default());
        }

        #[test]
        fn any_header_gives_a_result(text in "[{}():,'<>|TrueFalsdhpc_iof0-9 L]{0,60}", key in 0..3) {
            let _ = Header::parse(&text);
            let key = ["descr", "fortran_order", "shape"][key as usize];
            let _ = Header::parse(&format!("{{'{key}': {text}}}"));
        }
    }
}
