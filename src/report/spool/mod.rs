//! The rows of a scan while it is under way: a file beside the destination, to which rows are only ever
//! appended, so that a scan that was cut off goes on where it was.
//!
//! `DEST.part` holds the rows, `DEST.part.json` what the scan is of. The second is there only while the first
//! is: it is written after the first was made, and the first goes away only by getting its final name.

mod identity;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::output::{folder_of, sync_folder};
use super::rows::Lines;
use super::{Output, PhotoRecord, ReportError, read_record};
use crate::domain::ScannedPhoto;

pub use identity::{ScanIdentity, SourceState};

/// Rows are brought to the disk this often: so much work a power cut may cost. The end of the program,
/// however violent, costs none that was written.
const SYNC_EVERY: Duration = Duration::from_secs(5);

/// The rows of a scan under way.
#[derive(Debug)]
pub struct Spool {
    file: BufWriter<File>,
    partial: PathBuf,
    about: PathBuf,
    n_rows: u64,
    n_bytes: u64,
    synced: Instant,
}

impl Spool {
    /// Begins the rows of a scan whose results go to `destination`.
    ///
    /// # Errors
    /// [`ReportError::Unfinished`] when there are rows already, [`ReportError::InUse`] when another process
    /// writes them, [`ReportError::Create`].
    pub fn begin(destination: &Path, identity: &ScanIdentity) -> Result<Self, ReportError> {
        let spool = Self::open(destination)?;
        if spool.n_bytes > 0 {
            return Err(ReportError::Unfinished {
                partial: spool.name(),
                n_bytes: spool.n_bytes,
            });
        }
        spool.begun(identity)
    }

    /// Goes on with rows that are there, or begins them. `is_next` is asked for each row, in their order,
    /// whether the source has the same listing and photo there; it gives what the source has instead, in
    /// words. A last row that is cut off is dropped.
    ///
    /// # Errors
    /// [`ReportError::OtherScan`] when what is there is of another scan, [`ReportError::OtherListings`] when
    /// its source has changed, and those of [`begin`](Self::begin).
    pub fn resume(
        destination: &Path,
        identity: &ScanIdentity,
        mut is_next: impl FnMut(&ScannedPhoto) -> Result<(), String>,
    ) -> Result<Self, ReportError> {
        let mut spool = Self::open(destination)?;
        let Some(earlier) = read_json::<ScanIdentity>(&spool.about)? else {
            if spool.n_bytes > 0 {
                let difference = format!("{} does not say what it is of", spool.about.display());
                return Err(ReportError::OtherScan {
                    partial: spool.name(),
                    difference,
                });
            }
            return spool.begun(identity);
        };
        if let Some(difference) = identity.difference(&earlier) {
            return Err(ReportError::OtherScan {
                partial: spool.name(),
                difference,
            });
        }
        spool.check_rows(&mut is_next)?;
        // The source may have grown behind what was scanned.
        write_json(&spool.about, identity)?;
        Ok(spool)
    }

    /// Whether the rows of a scan with this identity already have their final name, and only its end was
    /// cut off.
    ///
    /// # Errors
    /// [`ReportError::Read`].
    pub fn is_published(destination: &Path, identity: &ScanIdentity) -> Result<bool, ReportError> {
        let target = fs::canonicalize(destination).unwrap_or_else(|_| destination.to_owned());
        let earlier: Option<ScanIdentity> = read_json(&beside(&target, ".part.json"))?;
        // The source's state too: here rows are not compared with it one by one.
        let is_same = earlier.is_some_and(|earlier| *identity == earlier);
        Ok(is_same && target.is_file() && !beside(&target, ".part").exists())
    }

    /// Removes what is left beside the results of a finished scan.
    pub fn clear(destination: &Path) {
        let target = fs::canonicalize(destination).unwrap_or_else(|_| destination.to_owned());
        for ending in [".part", ".part.json"] {
            let _ = fs::remove_file(beside(&target, ending));
        }
    }

    fn open(destination: &Path) -> Result<Self, ReportError> {
        let target = fs::canonicalize(destination).unwrap_or_else(|_| destination.to_owned());
        let [partial, about] = [".part", ".part.json"].map(|ending| beside(&target, ending));
        let failed = |source| ReportError::Create {
            destination: partial.display().to_string(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&partial)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ReportError::InUse {
                    partial: partial.display().to_string(),
                });
            }
            // Some network disks know no locks.
            Err(TryLockError::Error(cause)) => {
                tracing::warn!("{} cannot be locked: {cause}", partial.display());
            }
        }
        let n_bytes = file.metadata().map_err(failed)?.len();
        Ok(Self {
            file: BufWriter::new(file),
            partial,
            about,
            n_rows: 0,
            n_bytes,
            synced: Instant::now(),
        })
    }

    /// Empties the file, then says what it is of.
    fn begun(mut self, identity: &ScanIdentity) -> Result<Self, ReportError> {
        let emptied = self.file.get_mut().set_len(0);
        emptied.map_err(|e| self.failed(e))?;
        self.n_bytes = 0;
        write_json(&self.about, identity)?;
        Ok(self)
    }

    fn check_rows(
        &mut self,
        is_next: &mut impl FnMut(&ScannedPhoto) -> Result<(), String>,
    ) -> Result<(), ReportError> {
        let file = self.file.get_ref().try_clone();
        let mut file = file.map_err(|e| self.unreadable(e))?;
        file.rewind().map_err(|e| self.unreadable(e))?;
        let mut lines = Lines::new(BufReader::with_capacity(1 << 18, file));
        let mut end = 0;
        loop {
            let line = lines.next_whole().map_err(|e| self.unreadable(e))?;
            // What is no row was being written when the power went: what follows was written after it.
            let Some(row) = line.and_then(|line| read_record(line).ok()) else {
                break;
            };
            is_next(&row).map_err(|expected| ReportError::OtherListings {
                partial: self.name(),
                row: self.n_rows + 1,
                found_listing: row.listing.listing_id.clone(),
                found: row.photo.clone(),
                expected,
            })?;
            self.n_rows += 1;
            end = lines.end;
        }
        let cut = self.file.get_mut().set_len(end);
        let cut = cut.and_then(|()| self.file.seek(SeekFrom::Start(end)));
        cut.map_err(|e| self.failed(e))?;
        self.n_bytes = end;
        Ok(())
    }

    /// Where the rows are.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Rows so far.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// Appends a row, out of this process's hands when this returns.
    ///
    /// # Errors
    /// [`ReportError::ScanDiskFull`], [`ReportError::Write`]; what was written before can be continued.
    pub fn write(&mut self, scanned: &ScannedPhoto) -> Result<(), ReportError> {
        let mut line = PhotoRecord::new(scanned).to_line();
        line.push('\n');
        let written = self
            .file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.flush())
            .and_then(|()| self.sync_now_and_then());
        written.map_err(|e| self.failed(e))?;
        self.n_rows += 1;
        self.n_bytes += line.len() as u64;
        Ok(())
    }

    fn sync_now_and_then(&mut self) -> io::Result<()> {
        if self.synced.elapsed() >= SYNC_EVERY {
            self.file.get_ref().sync_data()?;
            self.synced = Instant::now();
        }
        Ok(())
    }

    /// Brings all rows to the disk.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn sync(&mut self) -> Result<(), ReportError> {
        let synced = self
            .file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|e| self.failed(e))
    }

    /// Gives the rows their final name; what stood there before is gone then.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn publish(&mut self, destination: &Path) -> Result<(), ReportError> {
        self.sync()?;
        let target = fs::canonicalize(destination).unwrap_or_else(|_| destination.to_owned());
        fs::rename(&self.partial, &target).map_err(|e| self.failed(e))?;
        sync_folder(folder_of(&target));
        Ok(())
    }

    /// Removes what is left of a scan that is finished.
    pub fn close(self) {
        // After `publish` the first is not there any more.
        let _ = fs::remove_file(&self.partial);
        let _ = fs::remove_file(&self.about);
        sync_folder(folder_of(&self.partial));
    }

    fn name(&self) -> String {
        self.partial.display().to_string()
    }

    fn failed(&self, source: io::Error) -> ReportError {
        ReportError::from_spool(&self.name(), self.n_bytes, source)
    }

    fn unreadable(&self, source: io::Error) -> ReportError {
        ReportError::Read {
            path: self.name(),
            source,
        }
    }
}

/// A name beside `path`: its own with `ending` behind.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Writes JSON for people and programs, whole or not at all.
///
/// # Errors
/// Those of [`Output`].
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), ReportError> {
    let mut text = serde_json::to_string_pretty(value).expect("keys are texts");
    text.push('\n');
    let mut output = Output::create(path)?;
    output.write_record(text.as_bytes())?;
    output.finish()
}

/// What [`write_json`] wrote; `None` when there is no such file, or when it holds something else.
///
/// # Errors
/// [`ReportError::Read`].
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, ReportError> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReportError::Read {
            path: path.display().to_string(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests;
