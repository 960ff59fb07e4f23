//! The `f32` numbers of vectors: in memory while vectors come and go, in the file of their graph once it
//! is saved.
//!
//! Rows are read from the file, not mapped: a mapped file that somebody shortens ends the process, and
//! a search reads so few rows that a call for each costs little. Each row is checked as it is read, and
//! read once for all queries of a search.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Numbers that a search keeps of what it has read, about: 16 MB of them.
const MAX_KEPT: usize = 4 << 20;

/// Numbers of all vectors, shape `[n, dim]`.
#[derive(Debug, Clone)]
pub(super) enum Values {
    Memory(Vec<f32>),
    File(Arc<RowFile>),
}

/// Rows of numbers in a file that nobody writes to any more.
#[derive(Debug)]
pub(super) struct RowFile {
    file: File,
    path: PathBuf,
    /// Where the first row begins, in bytes.
    start: u64,
    /// CRC-32 of each row, shape `[n]`.
    pub(super) checksums: Vec<u32>,
    has_complained: AtomicBool,
}

impl RowFile {
    pub(super) fn new(file: File, path: PathBuf, start: u64, checksums: Vec<u32>) -> Self {
        Self {
            file,
            path,
            start,
            checksums,
            has_complained: AtomicBool::new(false),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the first row begins, in bytes.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Whether all rows, up to byte `end` of the file, are what was once written.
    pub(super) fn are_whole(&self, end: u64) -> io::Result<bool> {
        let Some(n) = NonZeroU64::new(self.checksums.len() as u64) else {
            return Ok(end == self.start);
        };
        let mut row = vec![0; ((end - self.start) / n) as usize];
        let mut at = self.start;
        for checksum in &self.checksums {
            read_at(&self.file, &mut row, at)?;
            if crc32fast::hash(&row) != *checksum {
                return Ok(false);
            }
            at += row.len() as u64;
        }
        Ok(at == end)
    }

    /// Whether a row was read that is not what was once written.
    pub(super) fn is_damaged(&self) -> bool {
        self.has_complained.load(Ordering::Relaxed)
    }

    /// Reads the row at `slot`; `false` where it is not what was once written, which is said in the log
    /// the first time.
    pub(super) fn read(&self, slot: usize, row: &mut [f32]) -> bool {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(row);
        let at = self.start + slot as u64 * bytes.len() as u64;
        let reason = match read_at(&self.file, bytes, at) {
            Ok(()) if crc32fast::hash(bytes) == self.checksums[slot] => return true,
            Ok(()) => format!("vector {slot} has another checksum"),
            Err(error) => error.to_string(),
        };
        if !self.has_complained.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "{} is damaged: {reason}; what is lost is made anew from the database",
                self.path.display()
            );
        }
        false
    }
}

/// Rows of numbers that one search has read, each once: the windows of a photo have near vectors in common.
#[derive(Debug, Default)]
pub(super) struct ReadRows {
    /// Where in `values` the row of a slot begins.
    starts: HashMap<usize, usize>,
    values: Vec<f32>,
}

impl ReadRows {
    /// The `dim` numbers at `slot`, which `read` fills in where they have not been read before.
    pub(super) fn row(&mut self, slot: usize, dim: usize, read: impl FnOnce(&mut [f32])) -> &[f32] {
        if self.values.len() >= MAX_KEPT {
            self.starts.clear();
            self.values.clear();
        }
        let start = *self.starts.entry(slot).or_insert_with(|| {
            let start = self.values.len();
            self.values.resize(start + dim, 0.0);
            read(&mut self.values[start..]);
            start
        });
        &self.values[start..][..dim]
    }
}

/// Fills `bytes` from one place of a file, which other threads may be reading, too.
pub(super) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, bytes, at);
    #[cfg(windows)]
    {
        use std::os::windows::fs::FileExt;
        let mut n_read = 0;
        while n_read < bytes.len() {
            match file.seek_read(&mut bytes[n_read..], at + n_read as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => n_read += n,
            }
        }
        Ok(())
    }
}
