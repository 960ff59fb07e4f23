//! Files that appear whole or not at all, and never in place of another.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::EvidenceError;
use crate::report::{folder_of, sync_folder};

/// Writes `bytes` to `path`, on disk when this returns. A file of the same content that is there
/// already stays as it is.
///
/// # Errors
/// [`EvidenceError::Exists`] for a file of other content, which stays as it is too;
/// [`EvidenceError::DiskFull`], [`EvidenceError::Write`], after which there is nothing at `path`.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), EvidenceError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            EvidenceError::DiskFull {
                path: path.to_owned(),
                n_bytes: bytes.len(),
                source,
            }
        }
        _ => EvidenceError::Write {
            path: path.to_owned(),
            source,
        },
    };
    let exists = || EvidenceError::Exists {
        path: path.to_owned(),
    };
    match fs::symlink_metadata(path) {
        Ok(_) if holds(path, bytes) => return Ok(()),
        Ok(_) => return Err(exists()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
        Err(cause) => return Err(failed(cause)),
    }
    let folder = folder_of(path);
    let mut partial = builder().tempfile_in(folder).map_err(failed)?;
    partial.write_all(bytes).map_err(failed)?;
    partial.as_file().sync_all().map_err(failed)?;
    match partial.persist_noclobber(path) {
        Ok(_) => {}
        // Somebody was quicker.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            return if holds(path, bytes) {
                Ok(())
            } else {
                Err(exists())
            };
        }
        Err(error) => return Err(failed(error.error)),
    }
    sync_folder(folder);
    Ok(())
}

fn holds(path: &Path, bytes: &[u8]) -> bool {
    let is_likely = fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() == bytes.len() as u64);
    is_likely && fs::read(path).is_ok_and(|found| found == bytes)
}

/// A hidden file beside the final one, so that the rename stays on one disk; readable by whom the
/// umask says, as any file that a person makes.
fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".touchstone-").suffix(".partial");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_never_replaced_and_the_same_content_is_no_conflict() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.jpg");
        write_new(&path, b"first").expect("written");
        write_new(&path, b"first").expect("the same");
        for other in [&b"other"[..], b"second"] {
            let error = write_new(&path, other).expect_err("there is a file");
            assert!(matches!(error, EvidenceError::Exists { .. }), "{error}");
        }
        assert_eq!(fs::read(&path).expect("readable"), b"first");
        let names = fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(names, 1, "no partial file remains");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_neither_followed_nor_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (link, target) = (folder.path().join("link"), folder.path().join("target"));
        std::os::unix::fs::symlink(&target, &link).expect("a link");
        assert!(write_new(&link, b"x").is_err());
        assert!(!target.exists() && link.is_symlink());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("absent/a.jpg");
        let error = write_new(&path, b"x").expect_err("no folder");
        assert!(matches!(error, EvidenceError::Write { .. }));
        assert!(error.to_string().contains("absent"), "{error}");
    }
}
