//! The rows of an earlier scan, found by photo.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::rows::Lines;
use super::{ReportError, read_record};
use crate::domain::{FileDigest, ScanStamp, ScannedPhoto};

/// The rows of an earlier scan, found by photo. Takes 16 bytes of memory a photo; the rows stay on disk.
#[derive(Debug)]
pub struct EarlierRows {
    /// With what the rows were made.
    stamp: ScanStamp,
    /// Beginning of the digest, and where the row is; sorted.
    places: Vec<(u64, u64)>,
    file: Mutex<BufReader<File>>,
}

impl EarlierRows {
    /// Reads a JSONL report; `None` when it holds no row.
    ///
    /// # Errors
    /// [`ReportError::Read`]; [`ReportError::BadRow`] for what is no row, or one made with another network
    /// or registry than the first.
    pub fn open(path: &Path) -> Result<Option<Self>, ReportError> {
        let name = path.display().to_string();
        let unreadable = |source| ReportError::Read {
            path: name.clone(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        let mut lines = Lines::new(BufReader::with_capacity(1 << 18, file));
        let mut stamp: Option<ScanStamp> = None;
        let mut places = Vec::new();
        loop {
            let begin = lines.end;
            let Some(line) = lines.next_whole().map_err(unreadable)? else {
                break;
            };
            let row = read_record(line);
            let bad = |reason| ReportError::BadRow {
                path: name.clone(),
                line: lines.n_lines,
                reason,
            };
            let row = row.map_err(bad)?;
            let stamp = stamp.get_or_insert_with(|| (*row.stamp).clone());
            if *stamp != *row.stamp {
                return Err(bad(
                    "made with another network or registry revision than the first row".to_owned(),
                ));
            }
            // What failed is tried again.
            if row.outcome.is_ok()
                && let Some(digest) = row.sha256.as_deref().and_then(FileDigest::from_hex)
            {
                places.push((beginning(&digest), begin));
            }
        }
        places.sort_unstable();
        // The same photo in many listings: any of its rows will do.
        places.dedup_by_key(|place| place.0);
        places.shrink_to_fit();
        let file = BufReader::new(File::open(path).map_err(unreadable)?);
        Ok(stamp.map(|stamp| Self {
            stamp,
            places,
            file: Mutex::new(file),
        }))
    }

    /// With what the rows were made.
    pub fn stamp(&self) -> &ScanStamp {
        &self.stamp
    }

    /// A row of the photo; `None` when there is none with a verdict.
    pub fn row(&self, photo: &FileDigest) -> Option<ScannedPhoto> {
        let beginning = beginning(photo);
        let idx = self
            .places
            .binary_search_by_key(&beginning, |place| place.0);
        let (_, place) = self.places[idx.ok()?];
        let line = self.line_at(place).ok()?;
        let row = read_record(&line).ok()?;
        // Digests that begin alike are as good as impossible by chance, not by intent.
        (row.sha256 == Some(photo.to_hex())).then_some(row)
    }

    fn line_at(&self, place: u64) -> io::Result<Vec<u8>> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(place))?;
        let mut lines = Lines::new(file.by_ref());
        let line = lines.next_whole()?.map(<[u8]>::to_vec);
        line.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

fn beginning(digest: &FileDigest) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = digest.0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::super::{PhotoRecord, samples};
    use super::*;

    #[test]
    fn rows_are_found_by_photo_and_failures_are_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("earlier.jsonl");
        let mut scan = samples::scan();
        for (idx, scanned) in scan.iter_mut().enumerate() {
            scanned.sha256 = Some(FileDigest::of(&[idx as u8]).to_hex());
        }
        let lines: Vec<_> = scan
            .iter()
            .map(|s| PhotoRecord::new(s).to_line() + "\n")
            .collect();
        std::fs::write(&path, lines.concat()).expect("a file");
        let earlier = EarlierRows::open(&path).expect("readable").expect("rows");
        for (idx, scanned) in scan.iter().enumerate() {
            let row = earlier.row(&FileDigest::of(&[idx as u8]));
            assert_eq!(
                row.map(|r| r.key()),
                scanned.outcome.is_ok().then(|| scanned.key())
            );
        }
        assert!(earlier.row(&FileDigest::of(b"another")).is_none());
        std::fs::write(&path, lines.concat() + "{}\n").expect("a file");
        let error = EarlierRows::open(&path).expect_err("no row");
        assert!(error.to_string().contains("line 6"), "{error}");
    }
}
