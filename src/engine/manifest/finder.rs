//! Finding a photo again by the name that its source gave it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::archives::{ArchiveKind, kind_of};
use super::rows::{is_fetched, resolve, scheme_of};
use super::{Source, is_picture_path, rows};
use crate::fetch::BlockingFetcher;
use crate::imaging::DecodeLimits;

/// Where each member of an archive begins, and its length.
type Places = HashMap<String, (u64, u64)>;

/// Finds photos of one source again, for pictures in a report.
pub struct PhotoFinder {
    source: Arc<Source>,
    fetcher: Option<Arc<BlockingFetcher>>,
    is_plain: bool,
    // Read when first asked for; an archive without is not asked again.
    tars: Mutex<HashMap<PathBuf, Option<Arc<Places>>>>,
}

impl PhotoFinder {
    /// For the photos of `source`, as [`Source::listings`] names them. Those given by addresses are found
    /// by `fetcher`.
    pub fn new(source: Arc<Source>, fetcher: Option<Arc<BlockingFetcher>>) -> Self {
        Self {
            source,
            fetcher,
            is_plain: false,
            tars: Mutex::default(),
        }
    }

    /// The same for names that begin with the source's own and not with the folder that it lies in, as those
    /// of jobs do. Of the files of this machine only the source itself is looked into.
    pub fn without_folder(self) -> Self {
        Self {
            is_plain: true,
            ..self
        }
    }

    /// The bytes of `photo`; `None` when it is gone, too large, in an archive that can only be read from
    /// front to back (`.tar.gz`), or at an address that nobody may fetch.
    pub fn bytes(&self, photo: &str) -> Option<Vec<u8>> {
        let source = match &*self.source {
            Source::Stored(stored) => {
                let name = stored.address().to_string();
                if let Some(archive) = stored.archive() {
                    let member = photo.strip_prefix(&name)?.strip_prefix('/')?;
                    return self.member(kind_of(Path::new(&name))?, archive, member);
                }
                let address = match scheme_of(photo) {
                    Some(scheme) => is_fetched(scheme).then(|| photo.to_owned())?,
                    None => stored.photo(photo)?.to_string(),
                };
                return self.fetcher.as_ref()?.get(&address).ok();
            }
            Source::Here(path) => path,
        };
        if scheme_of(photo).is_some_and(is_fetched) {
            return self.fetcher.as_ref()?.get(photo).ok();
        }
        if self.is_plain {
            let name = source.file_name()?.to_str()?;
            let member = photo.strip_prefix(name)?.strip_prefix('/')?;
            return self.member(kind_of(source)?, source, member);
        }
        if let Some((archive, member)) = in_archive(photo) {
            return self.member(kind_of(archive)?, archive, member);
        }
        let path = path_in(source, photo)?;
        let metadata = fs::metadata(&path).ok()?;
        let fits = metadata.is_file() && metadata.len() <= DecodeLimits::default().max_bytes as u64;
        fits.then(|| fs::read(&path).ok()).flatten()
    }

    fn member(&self, kind: ArchiveKind, archive: &Path, member: &str) -> Option<Vec<u8>> {
        match kind {
            ArchiveKind::Tar => self.tar_member(archive, member),
            ArchiveKind::Zip => zip_member(archive, member),
            ArchiveKind::TarGz => None,
        }
    }

    fn tar_member(&self, archive: &Path, member: &str) -> Option<Vec<u8>> {
        let places = {
            let mut tars = self.tars.lock().unwrap_or_else(PoisonError::into_inner);
            let known = tars
                .entry(archive.to_owned())
                .or_insert_with(|| tar_places(archive).ok().map(Arc::new));
            known.clone()?
        };
        let &(offset, size) = places.get(member)?;
        if size > DecodeLimits::default().max_bytes as u64 {
            return None;
        }
        let mut file = File::open(archive).ok()?;
        file.seek(SeekFrom::Start(offset)).ok()?;
        let mut bytes = vec![0; size as usize];
        file.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }
}

/// The file that a photo of a source on this machine is called by.
fn path_in(source: &Path, photo: &str) -> Option<PathBuf> {
    if scheme_of(photo).is_some_and(|scheme| scheme != "file") {
        return None;
    }
    if source.is_dir() {
        return Some(source.join(photo));
    }
    let is_table = rows::is_table_path(source);
    // A single picture and those of a pattern are named by their path.
    Some(if is_table {
        resolve(source, photo)
    } else {
        resolve(Path::new(""), photo)
    })
}

/// Parts a photo's name where the archive ends and the member begins.
fn in_archive(photo: &str) -> Option<(&Path, &str)> {
    photo.match_indices('/').find_map(|(slash, _)| {
        let archive = Path::new(&photo[..slash]);
        (kind_of(archive).is_some() && archive.is_file()).then(|| (archive, &photo[slash + 1..]))
    })
}

/// Reads the headers alone.
fn tar_places(path: &Path) -> io::Result<Places> {
    let mut archive = tar::Archive::new(BufReader::new(File::open(path)?));
    // As they are read: several archives one after the other are one.
    archive.set_ignore_zeros(true);
    let mut places = Places::new();
    for entry in archive.entries_with_seek()? {
        let Ok(entry) = entry else {
            break;
        };
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if entry.header().entry_type().is_file() && is_picture_path(Path::new(&name)) {
            places.insert(name, (entry.raw_file_position(), entry.size()));
        }
    }
    Ok(places)
}

fn zip_member(path: &Path, member: &str) -> Option<Vec<u8>> {
    let mut archive = zip::ZipArchive::new(BufReader::new(File::open(path).ok()?)).ok()?;
    let file = archive.by_name(member).ok()?;
    let limit = DecodeLimits::default().max_bytes as u64;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= limit).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_are_found_again_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a.jpg"), b"file").expect("a file");
        let mut builder = tar::Builder::new(File::create(at("x.tar")).expect("a file"));
        for (name, bytes) in [("d/1.jpg", b"first" as &[u8]), ("d/2.jpg", b"second")] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            builder
                .append_data(&mut header, name, bytes)
                .expect("a file");
        }
        builder.finish().expect("a file");
        let tar = PhotoFinder::new(Arc::new(at("x.tar").into()), None);
        let photo = format!("{}/d/2.jpg", at("x.tar").display());
        assert_eq!(tar.bytes(&photo).as_deref(), Some(b"second" as &[u8]));
        assert_eq!(
            tar.bytes(&format!("{}/d/3.jpg", at("x.tar").display())),
            None
        );
        let job = PhotoFinder::new(Arc::new(at("x.tar").into()), None).without_folder();
        assert_eq!(
            job.bytes("x.tar/d/2.jpg").as_deref(),
            Some(b"second" as &[u8])
        );
        for elsewhere in [photo.as_str(), "y.tar/d/2.jpg", "x.tar", "a.jpg"] {
            assert_eq!(job.bytes(elsewhere), None, "{elsewhere}");
        }
        let manifest = PhotoFinder::new(Arc::new(at("l.jsonl").into()), None).without_folder();
        assert_eq!(manifest.bytes("a.jpg"), None);
        for source in [folder.path().to_owned(), at("l.jsonl")] {
            let finder = PhotoFinder::new(Arc::new(source.into()), None);
            assert_eq!(finder.bytes("a.jpg").as_deref(), Some(b"file" as &[u8]));
            assert_eq!(finder.bytes("absent.jpg"), None);
        }
    }
}
