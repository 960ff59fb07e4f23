//! Tar archives, compressed or not: read once, from front to back, each member as it comes.
//!
//! Lengths that an archive states are bounded before anything is held for them; links are told, not followed.

use std::cell::Cell;
use std::io::{self, Read};
use std::sync::mpsc::{self, SyncSender, sync_channel};
use std::thread;

use super::{ManifestError, Member, matters, read_member};

/// Longest name of a member of a tar archive, bytes: as long as paths may be on Linux.
const MAX_NAME_BYTES: usize = 4096;
/// Room for everything that stands before a member of a tar archive: its header, its long name, attributes.
pub(super) const MAX_HEADER_BYTES: u64 = 1 << 20;
/// A block of a tar archive.
const BLOCK_BYTES: u64 = 512;

/// Members of a tar archive. A thread of its own reads them one ahead, and ends with the sequence.
pub(super) fn tar_members(
    name: &str,
    reader: impl Read + Send + 'static,
) -> mpsc::IntoIter<Result<Member, ManifestError>> {
    let (sender, members) = sync_channel(1);
    let archive = name.to_owned();
    let reading = thread::Builder::new().name("archive".into()).spawn({
        let sender = sender.clone();
        move || {
            if let Err(cause) = send_tar_members(reader, &sender) {
                // Nobody listening is no failure.
                let _ = sender.send(Err(broken(&archive, &cause)));
            }
        }
    });
    if let Err(cause) = reading {
        let _ = sender.send(Err(broken(name, &cause)));
    }
    members.into_iter()
}

fn broken(name: &str, cause: &io::Error) -> ManifestError {
    let source_name = name.to_owned();
    let reason = format!("the archive cannot be read on: {cause}");
    match cause.kind() {
        io::ErrorKind::FileTooLarge => ManifestError::TooLarge {
            source_name,
            reason: cause.to_string(),
        },
        // What is damaged stays so: the same would be said each time.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
            ManifestError::BadLine {
                source_name,
                reason,
            }
        }
        _ => ManifestError::BrokenOff {
            source_name,
            reason,
        },
    }
}

/// A reader that ends in an error after so many bytes.
pub(super) struct Budgeted<R> {
    reader: R,
    left: u64,
    limit: u64,
}

impl<R> Budgeted<R> {
    pub(super) fn new(reader: R, limit: u64) -> Self {
        Self {
            reader,
            left: limit,
            limit,
        }
    }
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(into)?;
        match self.left.checked_sub(n as u64) {
            Some(left) => self.left = left,
            None => {
                return Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    format!("the archive has more than {} bytes unpacked", self.limit),
                ));
            }
        }
        Ok(n)
    }
}

/// How far a tar archive was read, and how far it may be: `tar` holds long names and attributes in memory,
/// whatever length they say they have.
struct Reach {
    position: Cell<u64>,
    limit: Cell<u64>,
    /// Whether more was asked for than there is.
    is_at_end: Cell<bool>,
}

impl Reach {
    fn new() -> Self {
        Self {
            position: Cell::new(0),
            limit: Cell::new(MAX_HEADER_BYTES),
            is_at_end: Cell::new(false),
        }
    }

    /// Lets a member of `n_bytes`, which begins here, be read, and what stands before the next.
    fn allow(&self, n_bytes: u64) {
        let end = self.position.get().saturating_add(n_bytes);
        self.limit.set(end.saturating_add(MAX_HEADER_BYTES));
    }
}

/// A tar archive that is read only as far as its reach.
struct Bounded<'a, R> {
    reader: R,
    reach: &'a Reach,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let position = self.reach.position.get();
        let left = self.reach.limit.get().saturating_sub(position);
        if left == 0 && !into.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("what stands before a member takes more than {MAX_HEADER_BYTES} bytes"),
            ));
        }
        let n = usize::try_from(left).map_or(into.len(), |left| left.min(into.len()));
        let n = self.reader.read(&mut into[..n])?;
        if n == 0 && !into.is_empty() {
            self.reach.is_at_end.set(true);
        }
        self.reach.position.set(position + n as u64);
        Ok(n)
    }
}

/// Several archives one after the other are one: what follows the end of the first is read too.
fn send_tar_members(
    mut reader: impl Read,
    sender: &SyncSender<Result<Member, ManifestError>>,
) -> io::Result<()> {
    while let Some(block) = next_block(&mut reader)? {
        let archive = block.chain(&mut reader);
        if !send_members_of(archive, sender)? {
            break;
        }
    }
    Ok(())
}

/// The next block that is not empty, as those between archives and at their end are; `None` at the end.
fn next_block(reader: &mut impl Read) -> io::Result<Option<io::Cursor<Vec<u8>>>> {
    let mut block = Vec::with_capacity(BLOCK_BYTES as usize);
    loop {
        block.clear();
        reader.by_ref().take(BLOCK_BYTES).read_to_end(&mut block)?;
        if block.iter().any(|byte| *byte != 0) {
            return Ok(Some(io::Cursor::new(block)));
        }
        if block.is_empty() {
            return Ok(None);
        }
    }
}

/// Sends the members of one archive; gives whether anybody wants more.
fn send_members_of(
    reader: impl Read,
    sender: &SyncSender<Result<Member, ManifestError>>,
) -> io::Result<bool> {
    let reach = Reach::new();
    let archive = tar::Archive::new(Bounded {
        reader,
        reach: &reach,
    });
    send_all(archive, &reach, sender).map_err(|cause| match reach.is_at_end.get() {
        // Not all that `tar` says of a file that ends too soon has this kind.
        true => io::Error::new(io::ErrorKind::UnexpectedEof, cause),
        false => cause,
    })
}

fn send_all(
    mut archive: tar::Archive<impl Read>,
    reach: &Reach,
    sender: &SyncSender<Result<Member, ManifestError>>,
) -> io::Result<bool> {
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        let size = entry.size();
        // The size of a sparse file is that of what would be unpacked.
        reach.allow(if kind.is_gnu_sparse() {
            entry.header().entry_size()?
        } else {
            size
        });
        let name = name_of(&entry.path_bytes())?;
        if kind.is_dir() || !matters(&name) {
            continue;
        }
        let bytes = if kind.is_file() {
            read_member(&name, size, &mut entry)?
        } else {
            Err(why_unread(kind))
        };
        if let Ok(bytes) = &bytes
            && (bytes.len() as u64) < size
        {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{name} is cut off after {} of {size} bytes", bytes.len()),
            ));
        }
        if sender.send(Ok(Member { name, bytes })).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn name_of(bytes: &[u8]) -> io::Result<String> {
    if bytes.len() > MAX_NAME_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "a name has {} bytes, at most {MAX_NAME_BYTES} are read",
                bytes.len()
            ),
        ));
    }
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// Why what is named like a picture or fields, and is no file, is not read.
fn why_unread(kind: tar::EntryType) -> String {
    if kind.is_hard_link() || kind.is_symlink() {
        "a link in the archive: only files are read, pack it with its content".to_owned()
    } else if kind.is_gnu_sparse() {
        "a sparse file in the archive: pack it without --sparse".to_owned()
    } else {
        let kind = char::from(kind.as_byte());
        format!("no file in the archive, but an entry of type {kind:?}")
    }
}
