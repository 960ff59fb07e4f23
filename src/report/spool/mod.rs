//! The rows of a scan while it is under way: a file beside the destination, to which rows are only ever
//! appended, so that a scan that was cut off goes on where it was.
//!
//! `DEST.part` holds the rows, `DEST.part.json` what the scan is of. The second means something only while the first
//! has rows, or when it says how long they are and a file of that length has their final name.

mod identity;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Zoned;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::output::{folder_of, sync_folder};
use super::rows::{Lines, MAX_ROW_BYTES};
use super::{Output, PhotoRecord, ReportError, read_record};
use crate::domain::{Listing, ScannedPhoto, Seller};

pub use identity::{ScanIdentity, SourceState};

/// Rows are brought to the disk this often: so much work a power cut may cost. The end of the program,
/// however violent, costs none that was written.
const SYNC_EVERY: Duration = Duration::from_secs(5);

/// The rows of a scan under way.
#[derive(Debug)]
pub struct Spool {
    file: BufWriter<File>,
    partial: PathBuf,
    about_at: PathBuf,
    about: About,
    n_rows: u64,
    n_bytes: u64,
    synced: Instant,
}

/// What is said beside the rows.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    #[serde(flatten)]
    scan: ScanIdentity,
    /// The day on which the first row was made; `None` when nobody knows.
    #[serde(default)]
    began_on: Option<Date>,
    /// Length of all rows together, bytes, once they may get their final name.
    #[serde(default)]
    n_bytes: Option<u64>,
}

impl Spool {
    /// Begins the rows of a scan whose results go to `destination`.
    ///
    /// # Errors
    /// [`ReportError::Unfinished`] when there are rows already, [`ReportError::InUse`] when another process
    /// writes them, [`ReportError::Create`].
    pub fn begin(destination: &Path, identity: &ScanIdentity) -> Result<Self, ReportError> {
        let spool = Self::open(destination, identity)?;
        if spool.n_bytes > 0 {
            return Err(ReportError::Unfinished {
                partial: spool.name(),
                n_bytes: spool.n_bytes,
            });
        }
        spool.begun()
    }

    /// Begins with the `n_rows` rows of the finished scan at `destination`, of which more is to come; they stay
    /// there as well until all is done. `began_on` is the day on which the first of them was made.
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin) and [`write`](Self::write), and [`ReportError::Read`].
    pub fn behind(
        destination: &Path,
        identity: &ScanIdentity,
        n_rows: u64,
        began_on: Option<Date>,
    ) -> Result<Self, ReportError> {
        let mut spool = Self::begin(destination, identity)?;
        // Cut off on the way, it goes on with as many rows as there are.
        spool.about.began_on = began_on;
        write_json(&spool.about_at, &spool.about)?;
        let finished = File::open(destination);
        let mut finished = finished.map_err(|source| ReportError::Read {
            path: destination.display().to_string(),
            source,
        })?;
        let copied = io::copy(&mut finished, spool.file.get_mut());
        spool.n_bytes = copied.map_err(|e| spool.failed(e))?;
        spool.n_rows = n_rows;
        Ok(spool)
    }

    /// Goes on with rows that are there, or begins them. `is_next` is asked for each row, in their order,
    /// whether the source has the same listing and photo there; it gives what the source has instead, in
    /// words. A last row that is cut off is dropped.
    ///
    /// # Errors
    /// [`ReportError::OtherScan`] when what is there is of another scan, [`ReportError::OtherListings`] when
    /// its source has changed, [`ReportError::BadRow`] for what is no row before one that is, and those of
    /// [`begin`](Self::begin).
    pub fn resume(
        destination: &Path,
        identity: &ScanIdentity,
        mut is_next: impl FnMut(&ScannedPhoto) -> Result<(), String>,
    ) -> Result<Self, ReportError> {
        let mut spool = Self::open(destination, identity)?;
        // Without rows nothing can be lost, whatever is said beside them.
        if spool.n_bytes == 0 {
            return spool.begun();
        }
        let Some(earlier) = read_json::<About>(&spool.about_at)? else {
            let difference = format!("{} does not say what it is of", spool.about_at.display());
            return Err(ReportError::OtherScan {
                partial: spool.name(),
                difference,
            });
        };
        if let Some(difference) = identity.difference(&earlier.scan) {
            return Err(ReportError::OtherScan {
                partial: spool.name(),
                difference,
            });
        }
        spool.check_rows(&mut is_next)?;
        // The source may have grown behind what was scanned.
        spool.about.began_on = earlier.began_on;
        write_json(&spool.about_at, &spool.about)?;
        Ok(spool)
    }

    /// Whether the rows of a scan with this identity already have their final name, and only its end was
    /// cut off.
    ///
    /// # Errors
    /// [`ReportError::Read`].
    pub fn is_published(destination: &Path, identity: &ScanIdentity) -> Result<bool, ReportError> {
        let target = fs::canonicalize(destination).unwrap_or_else(|_| destination.to_owned());
        let about: Option<About> = read_json(&beside(&target, ".part.json"))?;
        // The source's state too: here rows are not compared with it one by one.
        let n_bytes = about
            .filter(|about| about.scan == *identity)
            .and_then(|about| about.n_bytes);
        // What has the name may be of the scan before, when the rows of this one were removed.
        let is_there = fs::metadata(&target)
            .is_ok_and(|found| found.is_file() && Some(found.len()) == n_bytes);
        Ok(is_there && !beside(&target, ".part").exists())
    }

    /// Whether there are rows of a scan under way.
    pub fn has_rows(destination: &Path) -> bool {
        let target = fs::canonicalize(destination).unwrap_or_else(|_| destination.to_owned());
        fs::metadata(beside(&target, ".part")).is_ok_and(|found| found.len() > 0)
    }

    /// Removes what is left beside the results of a finished scan.
    pub fn clear(destination: &Path) {
        let target = fs::canonicalize(destination).unwrap_or_else(|_| destination.to_owned());
        for ending in [".part", ".part.json"] {
            let _ = fs::remove_file(beside(&target, ending));
        }
    }

    fn open(destination: &Path, identity: &ScanIdentity) -> Result<Self, ReportError> {
        let target = fs::canonicalize(destination).unwrap_or_else(|_| destination.to_owned());
        let [partial, about_at] = [".part", ".part.json"].map(|ending| beside(&target, ending));
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
            about_at,
            about: About {
                scan: identity.clone(),
                began_on: Some(Zoned::now().date()),
                n_bytes: None,
            },
            n_rows: 0,
            n_bytes,
            synced: Instant::now(),
        })
    }

    /// Empties the file, then says what it is of.
    fn begun(mut self) -> Result<Self, ReportError> {
        let emptied = self.file.get_mut().set_len(0);
        emptied.map_err(|e| self.failed(e))?;
        self.n_bytes = 0;
        write_json(&self.about_at, &self.about)?;
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
            let Some(line) = line else {
                break;
            };
            // Zeros are what a power cut leaves of rows being written: what follows was written after them.
            let is_torn = line.contains(&0);
            let row = match read_record(line) {
                Ok(row) => row,
                Err(_) if is_torn => break,
                Err(reason) => {
                    self.check_end(&mut lines, &reason)?;
                    break;
                }
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

    /// Checks that no row follows the line that `reason` speaks of, so that cutting it off costs nothing else.
    fn check_end(
        &self,
        lines: &mut Lines<impl io::BufRead>,
        reason: &str,
    ) -> Result<(), ReportError> {
        let bad_line = lines.n_lines;
        while let Some(line) = lines.next_whole().map_err(|e| self.unreadable(e))? {
            if read_record(line).is_ok() {
                return Err(ReportError::BadRow {
                    path: self.name(),
                    line: bad_line,
                    reason: format!(
                        "{reason}; rows follow it, so that nothing is cut off: remove the file to begin anew"
                    ),
                });
            }
        }
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

    /// The day on which the first row was made; `None` when nobody knows.
    pub fn began_on(&self) -> Option<Date> {
        self.about.began_on
    }

    /// Appends a row, out of this process's hands when this returns. One that could not be read again is a failure,
    /// without what its listing and seller have besides.
    ///
    /// # Errors
    /// [`ReportError::ScanDiskFull`], [`ReportError::Write`]; what was written before can be continued.
    pub fn write(&mut self, scanned: &ScannedPhoto) -> Result<(), ReportError> {
        let mut line = PhotoRecord::new(scanned).to_line();
        if let Err(reason) = check_line(&line) {
            line = PhotoRecord::new(&without_fields(scanned, &reason)).to_line();
        }
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
        self.about.n_bytes = Some(self.n_bytes);
        write_json(&self.about_at, &self.about)?;
        let target = fs::canonicalize(destination).unwrap_or_else(|_| destination.to_owned());
        fs::rename(&self.partial, &target).map_err(|e| self.failed(e))?;
        sync_folder(folder_of(&target));
        Ok(())
    }

    /// Removes what is left of a scan that is finished.
    pub fn close(self) {
        // After `publish` the first is not there any more.
        let _ = fs::remove_file(&self.partial);
        let _ = fs::remove_file(&self.about_at);
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

/// Whether a row can be read again: in a row the fields of a listing lie deeper than in its manifest, and readers go
/// only so deep.
fn check_line(line: &str) -> Result<(), String> {
    // With its end.
    let n_bytes = line.len() as u64 + 1;
    if n_bytes > MAX_ROW_BYTES {
        return Err(format!(
            "it has {n_bytes} bytes, at most {MAX_ROW_BYTES} are read"
        ));
    }
    read_record(line.as_bytes()).map(drop)
}

/// A failure in place of a row that cannot be read again.
fn without_fields(scanned: &ScannedPhoto, reason: &str) -> ScannedPhoto {
    let listing = &scanned.listing;
    let seller = listing.seller.as_ref().map(|seller| Seller {
        id: seller.id.clone(),
        name: seller.name.clone(),
        country: seller.country.clone(),
        ..Seller::default()
    });
    ScannedPhoto {
        listing: Arc::new(Listing {
            listing_id: listing.listing_id.clone(),
            seller,
            ..Listing::default()
        }),
        mark: None,
        outcome: Err(format!(
            "the row with the listing's fields could not be read again: {reason}"
        )),
        ..scanned.clone()
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
