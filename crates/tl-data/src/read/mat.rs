//! MATLAB's `.mat` files of version 5 to 7, as `save` and SciPy's `savemat` write
//! them: arrays of numbers, texts, and cells of these.

use super::{
    Limits, NumArray, Numbers,
    array::{Kind, extent},
    source,
};
use crate::{Error, Result};
use flate2::bufread::ZlibDecoder;
use std::{collections::BTreeMap, path::Path};

const FORMAT: &str = "MAT";
/// Cells within cells, no deeper.
const MAX_DEPTH: usize = 8;

/// A variable of a file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Variable {
    /// Numbers; imaginary parts are left out.
    Numbers(NumArray),
    /// Rows of characters; a text is a single row.
    Text(Vec<String>),
    /// Cells, the first axis changing fastest.
    Cells(Vec<Self>),
}

impl Variable {
    /// The numbers.
    ///
    /// # Errors
    /// It is something else.
    pub fn numbers(&self) -> Result<&NumArray> {
        match self {
            Self::Numbers(numbers) => Ok(numbers),
            _ => Err(Error::malformed(FORMAT, "a variable holds text or cells, not numbers")),
        }
    }

    /// The texts: rows of characters, or cells of one row each.
    ///
    /// # Errors
    /// It is something else.
    pub fn texts(&self) -> Result<Vec<String>> {
        match self {
            Self::Text(rows) => Ok(rows.clone()),
            Self::Cells(cells) => {
                Ok(cells.iter().map(Self::texts).collect::<Result<Vec<_>>>()?.concat())
            }
            Self::Numbers(_) => Err(Error::malformed(FORMAT, "a variable holds numbers, not text")),
        }
    }
}

/// Reads all variables of a file within the default [`Limits`].
///
/// # Errors
/// A file that cannot be opened, is damaged or cut off, holds sparse arrays,
/// structures or objects, or is of version 7.3 (which is HDF5).
pub fn read(path: impl AsRef<Path>) -> Result<BTreeMap<String, Variable>> {
    let (path, limits) = (path.as_ref(), Limits::default());
    std::fs::File::open(path)
        .map_err(Error::from)
        .and_then(|file| source::all(FORMAT, file, limits))
        .and_then(|bytes| parse(&bytes, limits))
        .map_err(|e| e.at(path))
}

/// Reads all variables of the bytes of a file.
///
/// # Errors
/// As [`read`]; content larger than the limits.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<BTreeMap<String, Variable>> {
    if bytes.starts_with(b"\x89HDF") || bytes.get(..10).is_some_and(|b| b == b"MATLAB 7.3") {
        return Err(unsupported("version 7.3", "a file saved with `-v7`"));
    }
    let (Some(header), Some(mut rest)) = (bytes.get(..128), bytes.get(128..)) else {
        return Err(Error::malformed(FORMAT, "it is shorter than a header"));
    };
    let big_endian = match &header[126..] {
        b"IM" => false,
        b"MI" => true,
        _ => return Err(Error::malformed(FORMAT, "it has no mark of its byte order")),
    };
    let mut reader = Reader { big_endian, left: limits.max_bytes, limit: limits.max_bytes };
    let mut variables = BTreeMap::new();
    while !rest.is_empty() {
        let (kind, data) = reader.element(&mut rest)?;
        let inflated;
        let (kind, data) = if kind == COMPRESSED {
            inflated = source::all(FORMAT, ZlibDecoder::new(data), Limits::bytes(reader.left))?;
            reader.spend(inflated.len() as u64)?;
            reader.element(&mut inflated.as_slice())?
        } else {
            (kind, data)
        };
        if kind != MATRIX {
            return Err(unsupported(&format!("an element of type {kind}"), "arrays"));
        }
        let (name, variable) = reader.matrix(data, 0)?;
        variables.insert(name, variable);
    }
    Ok(variables)
}

const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

fn unsupported(what: &str, expected: &'static str) -> Error {
    Error::Unsupported { format: FORMAT, what: what.to_owned(), expected }
}

/// How the numbers of a data element are stored.
fn stored(kind: u32) -> Option<Kind> {
    Some(match kind {
        1 => Kind::I8,
        2 | 16 => Kind::U8,
        3 => Kind::I16,
        4 | 17 => Kind::U16,
        5 => Kind::I32,
        6 | 18 => Kind::U32,
        7 => Kind::F32,
        9 => Kind::F64,
        12 => Kind::I64,
        13 => Kind::U64,
        _ => return None,
    })
}

struct Reader {
    big_endian: bool,
    /// Bytes that may still be taken.
    left: u64,
    limit: u64,
}

impl Reader {
    fn spend(&mut self, bytes: u64) -> Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or(Error::TooLarge {
            format: FORMAT,
            bytes: self.limit.saturating_add(1),
            limit: self.limit,
        })?;
        Ok(())
    }

    fn word(&self, bytes: &[u8]) -> u32 {
        let word = [bytes[0], bytes[1], bytes[2], bytes[3]];
        if self.big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
    }

    /// The type and the data of the element that comes next.
    fn element<'a>(&self, rest: &mut &'a [u8]) -> Result<(u32, &'a [u8])> {
        let cut = || Error::malformed(FORMAT, "it ends within an element");
        let tag = rest.get(..8).ok_or_else(cut)?;
        let first = self.word(tag);
        if first >> 16 != 0 {
            // A small element: size and type share a word, the data is the next.
            let size = (first >> 16) as usize;
            let data = tag.get(4..4 + size).ok_or_else(cut)?;
            *rest = &rest[8..];
            return Ok((first & 0xffff, data));
        }
        let size = self.word(&tag[4..]) as usize;
        let data = rest.get(8..8 + size).ok_or_else(cut)?;
        // Data are padded to eight bytes, but not what is compressed.
        let padded = if first == COMPRESSED { size } else { size.next_multiple_of(8) };
        *rest = rest.get(8 + padded..).unwrap_or_default();
        Ok((first, data))
    }

    fn numbers(&self, rest: &mut &[u8]) -> Result<Numbers> {
        let (kind, data) = self.element(rest)?;
        let kind =
            stored(kind).ok_or_else(|| unsupported(&format!("data of type {kind}"), "numbers"))?;
        Ok(kind.decode(data, self.big_endian))
    }

    /// The name and the content of an array.
    fn matrix(&mut self, data: &[u8], depth: usize) -> Result<(String, Variable)> {
        if depth > MAX_DEPTH {
            return Err(unsupported("cells within cells so deep", "at most 8 levels"));
        }
        let rest = &mut &*data;
        let (_, flags) = self.element(rest)?;
        let class = flags
            .get(..4)
            .map(|f| self.word(f) & 0xff)
            .ok_or_else(|| Error::malformed(FORMAT, "an array has no flags"))?;
        let dims = self.dims(rest)?;
        let (_, name) = self.element(rest)?;
        let name = String::from_utf8_lossy(name).into_owned();
        let count = extent(FORMAT, &dims, 1)? as usize;
        let variable = match class {
            1 => {
                let mut cells = Vec::new();
                for _ in 0..count {
                    self.spend(8)?;
                    let (kind, data) = self.element(rest)?;
                    if kind != MATRIX {
                        return Err(Error::malformed(FORMAT, "a cell is no array"));
                    }
                    cells.push(self.matrix(data, depth + 1)?.1);
                }
                Variable::Cells(cells)
            }
            4 => Variable::Text(self.text(rest, &dims)?),
            6..=15 => {
                let numbers = self.numbers(rest)?;
                let array = NumArray::from_column_major(dims, counted(numbers, count)?);
                self.spend(4 * count as u64)?;
                Variable::Numbers(array)
            }
            5 => return Err(unsupported("a sparse array", "`full` arrays")),
            2 => return Err(unsupported("a structure", "its fields as variables of their own")),
            _ => {
                let what = format!("an array of class {class}");
                return Err(unsupported(&what, "numbers, texts or cells"));
            }
        };
        Ok((name, variable))
    }

    fn dims(&self, rest: &mut &[u8]) -> Result<Vec<usize>> {
        match self.numbers(rest)? {
            Numbers::I32(dims) if (2..=32).contains(&dims.len()) => dims
                .iter()
                .map(|&d| usize::try_from(d))
                .collect::<Result<_, _>>()
                .map_err(|_| Error::malformed(FORMAT, format!("an array of shape {dims:?}"))),
            _ => Err(Error::malformed(FORMAT, "an array has no shape")),
        }
    }

    /// Characters stand column by column; each row is a text.
    fn text(&mut self, rest: &mut &[u8], dims: &[usize]) -> Result<Vec<String>> {
        let rows = dims[0];
        let (kind, data) = self.element(rest)?;
        let codes: Vec<u32> = if kind == 16 {
            String::from_utf8_lossy(data).chars().map(u32::from).collect()
        } else {
            match stored(kind).map(|kind| kind.decode(data, self.big_endian)) {
                Some(Numbers::U8(codes)) => codes.into_iter().map(u32::from).collect(),
                Some(Numbers::U16(codes)) => codes.into_iter().map(u32::from).collect(),
                Some(Numbers::U32(codes)) => codes,
                _ => return Err(unsupported("characters of this type", "UTF-8, 16 or 32")),
            }
        };
        if rows == 0 || codes.is_empty() {
            return Ok(vec![String::new(); usize::from(rows > 0)]);
        }
        self.spend(rows as u64)?;
        let row = |r: usize| {
            let own = codes.iter().skip(r).step_by(rows);
            let text: String =
                own.map(|&c| char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
            text.trim_end().to_owned()
        };
        Ok((0..rows.min(codes.len())).map(row).collect())
    }
}

/// The numbers, if there are as many as the shape says.
fn counted(numbers: Numbers, count: usize) -> Result<Numbers> {
    let have = NumArray::count(&numbers);
    if have != count {
        let problem = format!("an array of {count} numbers holds {have}");
        return Err(Error::malformed(FORMAT, problem));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Written by SciPy's `savemat`: see tools/fixtures/mat.py.
    const PLAIN: &[u8] = include_bytes!("../../tests/fixtures/plain.mat");
    const COMPRESSED: &[u8] = include_bytes!("../../tests/fixtures/compressed.mat");

    #[test]
    fn what_scipy_writes_is_read() {
        for bytes in [PLAIN, COMPRESSED] {
            let all = parse(bytes, Limits::default()).unwrap();
            let table = all["table"].numbers().unwrap();
            assert_eq!(table.dims(), [2, 3]);
            assert_eq!(table.to_f32(), [1.0, 2.5, -3.0, 4.0, 5.0, 6.0]);
            assert_eq!(all["labels"].numbers().unwrap().to_labels().unwrap(), [1, 2, 2]);
            assert_eq!(all["single"].numbers().unwrap().to_f32(), [0.25]);
            assert_eq!(all["word"].texts().unwrap(), ["zebra"]);
            assert_eq!(all["names"].texts().unwrap(), ["cat", "grey wolf", "é"]);
            assert!(all["names"].numbers().is_err() && all["table"].texts().is_err());
        }
    }

    #[test]
    fn limits_and_other_versions() {
        let e = parse(COMPRESSED, Limits::bytes(64)).unwrap_err();
        assert!(matches!(e, Error::TooLarge { .. }), "{e}");
        let e = parse(b"\x89HDF\r\n\x1a\n", Limits::default()).unwrap_err();
        assert!(e.to_string().contains("-v7"), "{e}");
        assert!(parse(&PLAIN[..100], Limits::default()).is_err());
    }

    proptest! {
        /// Damaged files are errors or other content, never a panic.
        #[test]
        fn damage_does_not_panic(at in 0..PLAIN.len(), byte: u8, cut in 0..PLAIN.len()) {
            let mut bytes = PLAIN.to_vec();
            bytes[at] = byte;
            let _ = parse(&bytes, Limits::bytes(1 << 20));
            let _ = parse(&bytes[..cut], Limits::bytes(1 << 20));
        }
    }
}
