//! The zip archive that a bundle is: written plainly, read with suspicion.
//!
//! A bundle comes from someone who may gain from a wrong check. It is unpacked into memory and never
//! onto the disk; names must be plain, entries plain files, sizes are bounded as declared and again as
//! unpacked, and no byte of the file may belong to no entry, so that every other program finds in it
//! what was checked here.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};

use zip::read::{ArchiveOffset, Config};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::BundleFault;

/// Contents by name.
pub(super) type Entries = BTreeMap<String, Vec<u8>>;

/// What a bundle may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Entries.
    pub entries: u64,
    /// Bytes of one entry, unpacked.
    pub entry_bytes: u64,
    /// Bytes of all entries, unpacked.
    pub total_bytes: u64,
}

impl Limits {
    /// What is accepted; 64 MiB is the largest picture that is read at all.
    pub const DEFAULT: Self = Self {
        file_bytes: 512 << 20,
        entries: 4096,
        entry_bytes: 64 << 20,
        total_bytes: 512 << 20,
    };
}

/// Longest name of an entry, bytes.
const MAX_NAME: usize = 120;

/// An archive with these entries, in the order of their names; the same entries give the same bytes.
///
/// # Errors
/// [`BundleFault::TooLarge`] for what [`unpack`] would refuse.
pub(super) fn pack(entries: &Entries, limits: Limits) -> Result<Vec<u8>, BundleFault> {
    check_count(entries.len() as u64, limits)?;
    let mut total = 0;
    for (name, bytes) in entries {
        check_sizes(name, bytes.len() as u64, &mut total, limits)?;
    }
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        // Pictures are compressed already.
        let method = if name.ends_with(".json") || name.ends_with(".txt") || name.ends_with(".svg")
        {
            CompressionMethod::Deflated
        } else {
            CompressionMethod::Stored
        };
        let options = SimpleFileOptions::default()
            .compression_method(method)
            .unix_permissions(0o644);
        archive.start_file(name.as_str(), options)?;
        archive
            .write_all(bytes)
            .map_err(|source| BundleFault::BadEntry {
                name: name.clone(),
                source,
            })?;
    }
    Ok(archive.finish()?.into_inner())
}

/// The entries of an archive.
///
/// # Errors
/// Every [`BundleFault`] that concerns the archive itself. Never panics, whatever the bytes.
pub(super) fn unpack(bytes: &[u8], limits: Limits) -> Result<Entries, BundleFault> {
    at_most("the file", bytes.len() as u64, limits.file_bytes, "bytes")?;
    let config = Config {
        archive_offset: ArchiveOffset::Known(0),
    };
    let mut archive = ZipArchive::with_config(config, Cursor::new(bytes))?;
    check_count(archive.len() as u64, limits)?;
    if archive.has_duplicate_names() {
        return Err(BundleFault::DuplicateName);
    }
    let mut total = 0;
    for position in 0..archive.len() {
        let entry = archive.by_index_data(position)?;
        let name = checked_name(entry.name_raw())?;
        if !entry.is_file() || entry.is_symlink() || entry.is_dir() || !is_plain(entry.unix_mode())
        {
            return Err(BundleFault::NoPlainFile { name });
        }
        let known = [CompressionMethod::Stored, CompressionMethod::Deflated];
        if entry.encrypted() || !known.contains(&entry.compression()) {
            return Err(BundleFault::BadMethod { name });
        }
        check_sizes(&name, entry.size(), &mut total, limits)?;
    }
    archive.validate_header_consistency()?;
    check_gaps(&archive, bytes.len())?;
    let mut entries = Entries::new();
    for position in 0..archive.len() {
        let (name, contents) = read_entry(&mut archive, position)?;
        entries.insert(name, contents);
    }
    Ok(entries)
}

/// Reads no more than was declared, which was checked before.
fn read_entry(
    archive: &mut ZipArchive<Cursor<&[u8]>>,
    position: usize,
) -> Result<(String, Vec<u8>), BundleFault> {
    let entry = archive.by_index(position)?;
    let name = checked_name(entry.name_raw())?;
    let declared = entry.size();
    let mut contents = Vec::new();
    // One byte more than declared tells a bomb from an honest entry.
    entry
        .take(declared + 1)
        .read_to_end(&mut contents)
        .map_err(|source| BundleFault::BadEntry {
            name: name.clone(),
            source,
        })?;
    if contents.len() as u64 != declared {
        return Err(BundleFault::TooLarge {
            what: format!("the entry {name:?}"),
            actual: contents.len() as u64,
            limit: declared,
            unit: "bytes",
        });
    }
    Ok((name, contents))
}

/// Lower-case letters, digits, `.`, `-`, `_`, in parts between single slashes that do not begin with a
/// dot: nothing that leads out of a folder, on any system.
fn checked_name(raw: &[u8]) -> Result<String, BundleFault> {
    let is_plain_part = |part: &[u8]| {
        part.first().is_some_and(u8::is_ascii_alphanumeric)
            && part
                .iter()
                .all(|&b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
    };
    let name = String::from_utf8_lossy(raw).into_owned();
    if raw.len() <= MAX_NAME && raw.split(|&b| b == b'/').all(is_plain_part) {
        return Ok(name);
    }
    let name = name.chars().take(MAX_NAME).collect();
    Err(BundleFault::BadName { name })
}

/// Whether the mode, if there is one, is that of a plain file without special bits.
fn is_plain(unix_mode: Option<u32>) -> bool {
    unix_mode.is_none_or(|mode| matches!(mode & 0o170_000, 0 | 0o100_000) && mode & 0o7_000 == 0)
}

/// Entries do not overlap (checked before), so when their least lengths add up to that of the file,
/// there is no room for anything else: no gaps, comments or extra fields.
fn check_gaps(archive: &ZipArchive<Cursor<&[u8]>>, n_bytes: usize) -> Result<(), BundleFault> {
    let mut least = END_RECORD;
    for position in 0..archive.len() {
        let entry = archive.by_index_data(position)?;
        let name = entry.name_raw().len() as u64;
        least = least
            .saturating_add(HEADERS + 2 * name)
            .saturating_add(entry.compressed_size());
    }
    if least == n_bytes as u64 {
        Ok(())
    } else {
        Err(BundleFault::HiddenBytes)
    }
}

/// Bytes of the two headers of an entry, less its name, which each of them holds.
const HEADERS: u64 = 30 + 46;
/// Bytes of the last record of an archive without comment.
const END_RECORD: u64 = 22;

fn check_count(n_entries: u64, limits: Limits) -> Result<(), BundleFault> {
    at_most("the archive", n_entries, limits.entries, "entries")
}

fn check_sizes(name: &str, size: u64, total: &mut u64, limits: Limits) -> Result<(), BundleFault> {
    at_most(
        &format!("the entry {name:?}"),
        size,
        limits.entry_bytes,
        "bytes",
    )?;
    *total = total.saturating_add(size);
    at_most(
        "the archive, unpacked,",
        *total,
        limits.total_bytes,
        "bytes",
    )
}

fn at_most(what: &str, actual: u64, limit: u64, unit: &'static str) -> Result<(), BundleFault> {
    if actual <= limit {
        return Ok(());
    }
    Err(BundleFault::TooLarge {
        what: what.to_owned(),
        actual,
        limit,
        unit,
    })
}

#[cfg(test)]
mod tests;
