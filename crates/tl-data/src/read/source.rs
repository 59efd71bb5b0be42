//! Bytes from files, compressed or not, within limits.

use crate::{Error, Result};
use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

/// How much memory the content of a file may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes, after decompression. Default: 4 GiB.
    pub max_bytes: u64,
}

impl Limits {
    /// At most `max_bytes` after decompression.
    pub fn bytes(max_bytes: u64) -> Self {
        Self { max_bytes }
    }

    pub(super) fn check(self, format: &'static str, bytes: u64) -> Result<()> {
        if bytes > self.max_bytes {
            return Err(Error::TooLarge { format, bytes, limit: self.max_bytes });
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::bytes(4 << 30)
    }
}

/// Opens a file, and decompresses it if it begins as gzip does.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>> {
    inflate(BufReader::new(File::open(path)?))
}

/// Decompresses what begins as gzip does, and passes on anything else.
pub(super) fn inflate<'a>(mut bytes: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>> {
    if bytes.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        Ok(Box::new(MultiGzDecoder::new(bytes)))
    } else {
        Ok(Box::new(bytes))
    }
}

/// Everything that is left, within the limits.
pub(super) fn all(format: &'static str, source: impl Read, limits: Limits) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = limits.max_bytes.saturating_add(1);
    source.take(most).read_to_end(&mut bytes).map_err(|e| damaged(format, e))?;
    limits.check(format, bytes.len() as u64)?;
    Ok(bytes)
}

/// Exactly `count` bytes. Memory grows with what arrives, not with `count`.
pub(super) fn exactly(format: &'static str, source: impl Read, count: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(count).read_to_end(&mut bytes).map_err(|e| damaged(format, e))?;
    if (bytes.len() as u64) < count {
        let problem = format!("it ends after {} of {count} bytes of data", bytes.len());
        return Err(Error::malformed(format, problem));
    }
    Ok(bytes)
}

/// Checks that nothing follows, and that compressed data ends as it should.
pub(super) fn ended(format: &'static str, source: &mut impl Read) -> Result<()> {
    let mut rest = Vec::new();
    source.take(1).read_to_end(&mut rest).map_err(|e| damaged(format, e))?;
    if rest.is_empty() {
        return Ok(());
    }
    Err(Error::malformed(format, "there are more bytes than its header says"))
}

/// A failure of reading: a damaged stream is the file's fault.
fn damaged(format: &'static str, error: std::io::Error) -> Error {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof => {
            Error::malformed(format, format!("its compressed data is damaged ({error})"))
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    #[test]
    fn a_small_file_that_inflates_to_a_large_one_is_stopped() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        for _ in 0..64 {
            encoder.write_all(&[0; 1 << 16]).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 8192);
        let e = all("csv", inflate(bomb.as_slice()).unwrap(), Limits::bytes(1 << 16)).unwrap_err();
        assert!(matches!(e, Error::TooLarge { bytes: 65537, .. }), "{e}");
        let cut = &bomb[..bomb.len() / 2];
        let e = all("csv", inflate(cut).unwrap(), Limits::default()).unwrap_err();
        assert!(matches!(e, Error::Malformed { .. }), "{e}");
    }
}
