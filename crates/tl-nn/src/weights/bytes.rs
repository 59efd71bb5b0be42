//! The bytes of a file: in memory, or mapped from disk.

use crate::{Error, Result};
use memmap2::Mmap;
use std::{fs::File, path::Path};

/// Bytes that many weights share.
#[derive(Debug)]
pub(super) enum Bytes {
    Memory(Vec<u8>),
    Mapped(Mmap),
}

impl Bytes {
    /// Maps a file: only what is used is read.
    #[allow(unsafe_code)]
    pub(super) fn map(path: &Path) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        if !file.metadata().map_err(io)?.is_file() {
            let problem = "is a folder, not a file of weights".to_owned();
            return Err(Error::Format { path: path.to_owned(), problem });
        }
        // SAFETY: the mapping is private and only read. The system cannot stop
        // another process from shortening the file meanwhile; this crate never
        // writes a file in place, but renames a complete one over it, which
        // leaves existing mappings whole.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Ok(Self::Mapped(map))
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Memory(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}
