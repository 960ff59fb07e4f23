//! A file that appears whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::ReportError;

/// Where a report goes: a file that gets its name only when complete, or standard output.
///
/// The bytes of a file are gathered under a hidden name in the same folder, so that the final rename
/// stays on one disk. Dropping an unfinished output removes them.
#[derive(Debug)]
pub struct Output {
    sink: BufWriter<Sink>,
    /// For messages.
    destination: String,
    written_bytes: u64,
    /// The hidden name and the final one; `None` when bytes go straight to their place.
    pending: Option<Pending>,
}

#[derive(Debug)]
enum Sink {
    File(File),
    Stdout(io::Stdout),
}

#[derive(Debug)]
struct Pending {
    partial: PathBuf,
    target: PathBuf,
}

/// Two reports of one process may go to one folder at once.
static SERIAL: AtomicU64 = AtomicU64::new(0);

impl Output {
    /// Opens `destination`; `-` is standard output. What exists there and is no ordinary file (a
    /// pipe, `/dev/null`) is written directly; a link is followed, so that the link survives.
    ///
    /// # Errors
    /// [`ReportError::Create`] for a folder, or when the file cannot be made.
    pub fn create(destination: &Path) -> Result<Self, ReportError> {
        if destination == Path::new("-") {
            return Ok(Self::over(Sink::Stdout(io::stdout()), "-".into(), None));
        }
        let name = destination.display().to_string();
        let failed = |source| ReportError::Create {
            destination: name.clone(),
            source,
        };
        let target = fs::canonicalize(destination).unwrap_or_else(|_| destination.to_owned());
        match fs::metadata(&target) {
            Ok(found) if found.is_dir() => Err(failed(io::ErrorKind::IsADirectory.into())),
            Ok(found) if !found.is_file() => {
                let file = OpenOptions::new()
                    .write(true)
                    .open(&target)
                    .map_err(failed)?;
                Ok(Self::over(Sink::File(file), name, None))
            }
            _ => {
                let partial = partial_path(&target).map_err(failed)?;
                let file = File::create_new(&partial).map_err(failed)?;
                let pending = Pending { partial, target };
                Ok(Self::over(Sink::File(file), name, Some(pending)))
            }
        }
    }

    fn over(sink: Sink, destination: String, pending: Option<Pending>) -> Self {
        Self {
            sink: BufWriter::with_capacity(64 * 1024, sink),
            destination,
            written_bytes: 0,
            pending,
        }
    }

    /// Writes all of `bytes`, a complete record; one that goes straight to a reader is not held back.
    ///
    /// # Errors
    /// [`ReportError::DiskFull`], [`ReportError::ReaderGone`], [`ReportError::Write`].
    pub fn write_record(&mut self, bytes: &[u8]) -> Result<(), ReportError> {
        let direct = self.pending.is_none();
        let written = self
            .sink
            .write_all(bytes)
            .and_then(|()| if direct { self.sink.flush() } else { Ok(()) });
        written.map_err(|e| self.failed(e))?;
        self.written_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Brings everything to the disk and gives the file its name.
    ///
    /// # Errors
    /// As [`write_record`](Self::write_record); the former file, if any, is still there then.
    pub fn finish(mut self) -> Result<(), ReportError> {
        self.publish().map_err(|e| self.failed(e))
    }

    fn publish(&mut self) -> io::Result<()> {
        self.sink.flush()?;
        let Some(pending) = &self.pending else {
            return Ok(());
        };
        if let Sink::File(file) = self.sink.get_ref() {
            file.sync_all()?;
        }
        fs::rename(&pending.partial, &pending.target)?;
        sync_folder(folder_of(&pending.target));
        self.pending = None;
        Ok(())
    }

    /// Where the report goes, for messages.
    pub(super) fn destination(&self) -> &str {
        &self.destination
    }

    /// Whether bytes go straight to a reader and have no name.
    pub fn is_stream(destination: &Path) -> bool {
        destination == Path::new("-")
            || fs::metadata(destination).is_ok_and(|found| !found.is_file() && !found.is_dir())
    }

    pub(super) fn failed(&self, source: io::Error) -> ReportError {
        ReportError::from_write(&self.destination, self.written_bytes, source)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(pending) = &self.pending {
            let _ = fs::remove_file(&pending.partial);
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n_bytes = self.sink.write(bytes)?;
        self.written_bytes += n_bytes as u64;
        Ok(n_bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stdout(stdout) => stdout.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stdout(stdout) => stdout.flush(),
        }
    }
}

/// Lets a name survive a power cut as well; where folders cannot be synced, the complete file is in place
/// all the same.
pub fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// The folder that a file stands in.
pub fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn partial_path(target: &Path) -> io::Result<PathBuf> {
    let name = target
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}-{serial}.partial", std::process::id()));
    Ok(folder_of(target).join(hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_only_when_finished() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.jsonl");
        fs::write(&path, "former").expect("writable");
        let mut output = Output::create(&path).expect("creatable");
        output.write_record(b"new").expect("writable");
        assert_eq!(fs::read(&path).expect("still there"), b"former");
        output.finish().expect("finished");
        assert_eq!(fs::read(&path).expect("there"), b"new");
        assert_eq!(names(folder.path()), ["out.jsonl"]);
    }

    #[test]
    fn a_dropped_output_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut output = Output::create(&folder.path().join("out.csv")).expect("creatable");
        output.write_record(b"half").expect("writable");
        assert_eq!(names(folder.path()).len(), 1);
        drop(output);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn folders_are_refused_before_the_scan() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in [
            folder.path().to_owned(),
            folder.path().join("absent/out.csv"),
        ] {
            let error = Output::create(&path).expect_err("no file can be there");
            assert!(matches!(error, ReportError::Create { .. }), "{error}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_as_such() {
        // Every write to this device fails with ENOSPC.
        let mut output = Output::create(Path::new("/dev/full")).expect("a device");
        let error = output.write_record(b"anything").expect_err("no space");
        assert!(matches!(error, ReportError::DiskFull { .. }), "{error}");
        assert!(error.to_string().starts_with("the disk is full"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_survives() {
        let folder = tempfile::tempdir().expect("a folder");
        let real = folder.path().join("real.csv");
        let link = folder.path().join("link.csv");
        fs::write(&real, "former").expect("writable");
        std::os::unix::fs::symlink(&real, &link).expect("a link");
        let mut output = Output::create(&link).expect("creatable");
        output.write_record(b"new").expect("writable");
        output.finish().expect("finished");
        assert_eq!(fs::read(&real).expect("there"), b"new");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
    }
}
