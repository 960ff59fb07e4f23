//! Zip archives: members by the names in their directory.

use std::fs::File;
use std::io::{self, BufReader, Read};

use super::{ManifestError, Member, is_fields, matters, read_member, unreadable};

/// Opens a zip archive whose members have each bytes of their own: a small file in which many share the same
/// could be read for days.
pub(super) fn open_zip(
    name: &str,
    file: BufReader<File>,
) -> Result<zip::ZipArchive<BufReader<File>>, ManifestError> {
    let n_bytes = file.get_ref().metadata().map_err(unreadable(name))?.len();
    let archive = zip::ZipArchive::new(file).map_err(|e| unreadable(name)(io::Error::other(e)))?;
    // By the directory alone: to look for overlaps would be a read for each member.
    let members = (0..archive.len()).filter_map(|index| archive.by_index_data(index).ok());
    let packed = members.fold(0u64, |sum, member| {
        sum.saturating_add(member.compressed_size())
    });
    if packed > n_bytes {
        return Err(unreadable(name)(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "its members are said to take {packed} of its {n_bytes} bytes: some share theirs"
            ),
        )));
    }
    Ok(archive)
}

/// Names of a zip archive's members that matter, each with its place in the directory, by name: their
/// order within is anybody's.
fn zip_entries<R: Read + io::Seek>(archive: &zip::ZipArchive<R>) -> Vec<(String, usize)> {
    let mut entries: Vec<(String, usize)> = archive
        .file_names()
        .enumerate()
        // A name in no known encoding is no picture's.
        .filter_map(|(index, name)| Some((name.ok()?.into_owned(), index)))
        .filter(|(name, _)| matters(name))
        .collect();
    entries.sort_unstable();
    entries
}

/// Members of a zip archive.
pub(super) fn zip_members<R: Read + io::Seek + Send>(
    mut archive: zip::ZipArchive<R>,
) -> impl Iterator<Item = Result<Member, ManifestError>> + Send + use<R> {
    let entries = zip_entries(&archive);
    entries.into_iter().map(move |(name, index)| {
        let read = archive.by_index(index).map_err(|cause| cause.to_string());
        let bytes = read.and_then(|mut file| {
            let size = file.size();
            // The checksum is checked at the end of the member.
            read_member(&name, size, &mut file).unwrap_or_else(|cause| Err(cause.to_string()))
        });
        Ok(Member { name, bytes })
    })
}

/// Pictures in a zip archive, none of them read.
pub(super) fn zip_names<R: Read + io::Seek>(
    archive: &zip::ZipArchive<R>,
) -> impl Iterator<Item = Result<Member, ManifestError>> + Send + use<R> {
    let entries = zip_entries(archive).into_iter();
    let pictures = entries.filter(|(name, _)| !is_fields(name));
    pictures.map(|(name, _)| {
        let bytes = Ok(Vec::new());
        Ok(Member { name, bytes })
    })
}
