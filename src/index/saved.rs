//! A graph on disk: `manifest.json` names the folder of the generation that counts, and the checksum of what
//! a walk needs of the file in it, which is read into memory and compared before any of it is used. The
//! `f32` numbers stay in the file; each row is compared with a checksum of its own whenever it is read.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use bytemuck::{NoUninit, Pod};
use crc32fast::Hasher;
use serde::{Deserialize, Serialize};

use super::links::{Graph, Links};
use super::values::{RowFile, Values, read_at};
use super::vectors::Vectors;
use super::walk::MAX_SLOTS;
use super::{EntryId, GraphIndex, IndexError, huge_pages, order};

const MANIFEST: &str = "manifest.json";
const GRAPH_FILE: &str = "graph.bin";
/// Locked by whoever saves; empty.
const LOCK_FILE: &str = "lock";
const GENERATION_PREFIX: &str = "generation-";
/// Changes with the layout of the file.
const FORMAT: u32 = 3;
/// What a file begins with; another number where bytes stand in another order.
const MAGIC: u64 = u64::from_le_bytes(*b"touchidx");
/// Numbers that tell the sizes of everything.
const N_SHAPE: usize = 32;
const MAX_LAYERS: usize = (N_SHAPE - 4) / 2;
const MAX_DIM: usize = 1 << 16;
/// Bytes that are worth a thread.
const READ_TOGETHER: usize = 4 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    generation: u64,
    stamp: String,
    n_bytes: u64,
    /// Of what stands before the `f32` numbers, whose rows have checksums of their own there.
    crc32: u32,
}

impl Manifest {
    fn file(&self, folder: &Path) -> PathBuf {
        generation_folder(folder, self.generation).join(GRAPH_FILE)
    }
}

fn generation_folder(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("{GENERATION_PREFIX}{generation}"))
}

/// Adds where it happened to an error of the file system.
fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, IndexError> {
    result.map_err(|source| IndexError::Io {
        path: path.to_owned(),
        source,
    })
}

fn damaged(path: &Path, reason: impl Into<String>) -> IndexError {
    IndexError::Damaged {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

/// Writes the graph as a new generation, reads it back, makes it count, and removes the others. Answers with
/// where its `f32` numbers can be read. Of several that save in one folder each waits for the one before.
pub(super) fn save(index: &GraphIndex, folder: &Path, stamp: &str) -> Result<RowFile, IndexError> {
    at(folder, fs::create_dir_all(folder))?;
    let _saving = lock(folder)?;
    let newest = generations(folder)?.into_iter().max();
    let generation = newest.map_or(1, |newest| newest + 1);
    match save_as(generation, index, folder, stamp) {
        Ok(rows) => {
            remove_generations(folder, |old| old != generation)?;
            Ok(rows)
        }
        Err(error) => {
            // Where the disk is full, what was written must not keep it so.
            if !read_manifest(folder).is_ok_and(|kept| kept.generation == generation) {
                let _ = fs::remove_dir_all(generation_folder(folder, generation));
            }
            Err(error)
        }
    }
}

fn save_as(
    generation: u64,
    index: &GraphIndex,
    folder: &Path,
    stamp: &str,
) -> Result<RowFile, IndexError> {
    let own_folder = generation_folder(folder, generation);
    at(&own_folder, fs::create_dir(&own_folder))?;
    let path = own_folder.join(GRAPH_FILE);
    let written = at(&path, write_graph(index, &path))?;
    at(&own_folder, sync_folder(&own_folder))?;
    match written.is_whole() {
        Ok(true) => {}
        Ok(false) => return Err(damaged(&path, "it is not what was just written")),
        Err(error) => return at(&path, Err(error)),
    }
    let manifest = Manifest {
        format: FORMAT,
        generation,
        stamp: stamp.to_owned(),
        n_bytes: written.n_bytes,
        crc32: written.crc32,
    };
    write_manifest(folder, &manifest)?;
    Ok(written.rows)
}

fn remove_generations(folder: &Path, is_old: impl Fn(u64) -> bool) -> Result<(), IndexError> {
    for old in generations(folder)?.into_iter().filter(|old| is_old(*old)) {
        let old = generation_folder(folder, old);
        at(&old, fs::remove_dir_all(&old))?;
    }
    Ok(())
}

/// Keeps other processes from saving in the folder until it is dropped.
fn lock(folder: &Path) -> Result<File, IndexError> {
    let path = folder.join(LOCK_FILE);
    let locked = || {
        let mut options = File::options();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)?;
        file.lock()?;
        Ok(file)
    };
    at(&path, locked())
}

/// Reads the graph that counts.
pub(super) fn load(folder: &Path, stamp: &str) -> Result<GraphIndex, IndexError> {
    let manifest = read_manifest(folder)?;
    if manifest.format != FORMAT || manifest.stamp != stamp {
        return Err(IndexError::Stale {
            path: folder.to_owned(),
            expected: format!("{stamp:?} in format {FORMAT}"),
            found: format!("{:?} in format {}", manifest.stamp, manifest.format),
        });
    }
    let path = manifest.file(folder);
    let file = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Somebody may have saved another meanwhile.
            return match read_manifest(folder)?.generation == manifest.generation {
                true => Err(damaged(&path, "the file is missing")),
                false => load(folder, stamp),
            };
        }
        opened => at(&path, opened)?,
    };
    let n_bytes = at(&path, file.metadata())?.len();
    if n_bytes != manifest.n_bytes {
        let reason = format!("{n_bytes} bytes instead of {}", manifest.n_bytes);
        return Err(damaged(&path, reason));
    }
    match read_graph(file, &path, manifest.crc32) {
        Ok(index) => Ok(index),
        Err(error) if is_damage(&error) => Err(damaged(&path, error.to_string())),
        Err(error) => at(&path, Err(error)),
    }
}

fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof
    )
}

fn read_graph(file: File, path: &Path, crc32: u32) -> io::Result<GraphIndex> {
    let (index, found) = Source::new(&file)?.index(file.try_clone()?, path)?;
    match found == crc32 {
        true => Ok(index),
        false => Err(invalid("the checksum is another")),
    }
}

fn generations(folder: &Path) -> Result<Vec<u64>, IndexError> {
    let mut found = Vec::new();
    for entry in at(folder, fs::read_dir(folder))? {
        let name = at(folder, entry)?.file_name();
        let number = name
            .to_str()
            .and_then(|n| n.strip_prefix(GENERATION_PREFIX));
        found.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    Ok(found)
}

fn write_manifest(folder: &Path, manifest: &Manifest) -> Result<(), IndexError> {
    let new = folder.join(format!("{MANIFEST}.new"));
    let text = serde_json::to_string_pretty(manifest).map_err(io::Error::from);
    let text = at(&new, text)?;
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, folder.join(MANIFEST))?;
        sync_folder(folder)
    };
    at(&new, write())
}

fn read_manifest(folder: &Path) -> Result<Manifest, IndexError> {
    let path = folder.join(MANIFEST);
    match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|e| damaged(&path, e.to_string())),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(IndexError::NotSaved {
            path: folder.to_owned(),
        }),
        Err(error) => at(&path, Err(error)),
    }
}

/// Makes new names in a folder survive a power cut; not a thing on Windows.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Writes to a file and sums up what is written.
struct Sink {
    file: BufWriter<File>,
    checksum: Hasher,
    n_bytes: u64,
}

impl Sink {
    fn values<T: NoUninit>(&mut self, values: &[T]) -> io::Result<()> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        self.checksum.update(bytes);
        self.n_bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

/// What is known of a file that was written.
struct Written {
    n_bytes: u64,
    crc32: u32,
    rows: RowFile,
}

impl Written {
    /// Whether the file holds what was written, as far as the system lets it be read from the disk itself.
    fn is_whole(&self) -> io::Result<bool> {
        let file = File::open(self.rows.path())?;
        forget_cached(&file);
        let mut block = vec![0; 1 << 20];
        let mut checksum = Hasher::new();
        let mut at = 0;
        while at < self.rows.start() {
            let length = (self.rows.start() - at).min(block.len() as u64) as usize;
            read_at(&file, &mut block[..length], at)?;
            checksum.update(&block[..length]);
            at += length as u64;
        }
        Ok(checksum.finalize() == self.crc32 && self.rows.are_whole(self.n_bytes)?)
    }
}

/// Asks the system to read the file from the disk next time, not from memory.
fn forget_cached(file: &File) {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        // SAFETY: the file is open; the call reads and writes nothing of this process. It is advice: what
        // it answers changes nothing.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// Writes the head (what a walk needs, and checksums of all rows), then the rows of `f32` numbers. Numbers
/// are in the processor's own order of bytes.
fn write_graph(index: &GraphIndex, path: &Path) -> io::Result<Written> {
    let mut sink = Sink {
        file: BufWriter::with_capacity(1 << 20, File::create(path)?),
        checksum: Hasher::new(),
        n_bytes: 0,
    };
    let (vectors, layers) = (&index.vectors, &index.graph.layers);
    let row = |slot| vectors.values(slot);
    let checksum = |slot| crc32fast::hash(bytemuck::cast_slice(&row(slot)));
    let checksums: Vec<u32> = (0..vectors.len()).map(checksum).collect();
    let mut shape = vec![MAGIC, vectors.dim() as u64, vectors.len() as u64];
    shape.push(layers.len() as u64);
    for layer in layers {
        shape.extend([layer.width as u64, layer.n_lists() as u64]);
    }
    shape.resize(N_SHAPE, 0);
    sink.values(&shape)?;
    let entries: Vec<u64> = vectors.entries().iter().map(|entry| entry.0).collect();
    sink.values(&entries)?;
    let is_dead: Vec<u8> = (0..vectors.len())
        .map(|slot| u8::from(index.is_dead(slot)))
        .collect();
    sink.values(&is_dead)?;
    sink.values(&checksums)?;
    sink.values(&vectors.scales)?;
    sink.values(&vectors.sums)?;
    sink.values(&vectors.codes)?;
    for layer in layers {
        sink.values(&layer.targets)?;
    }
    let (start, crc32) = (sink.n_bytes, sink.checksum.clone().finalize());
    for slot in 0..vectors.len() {
        sink.values(&row(slot))?;
    }
    let n_bytes = sink.n_bytes;
    let file = sink.file.into_inner();
    file.map_err(io::IntoInnerError::into_error)?.sync_all()?;
    let rows = RowFile::new(File::open(path)?, path.to_owned(), start, checksums);
    Ok(Written {
        n_bytes,
        crc32,
        rows,
    })
}

/// Reads what [`write_graph`] wrote. Believes no length that the file has no room for, and no link
/// that leads nowhere.
struct Source<'f> {
    file: &'f File,
    /// Bytes read, and bytes there are.
    at: u64,
    n_bytes: u64,
    checksum: Hasher,
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

impl<'f> Source<'f> {
    fn new(file: &'f File) -> io::Result<Self> {
        Ok(Self {
            file,
            at: 0,
            n_bytes: file.metadata()?.len(),
            checksum: Hasher::new(),
        })
    }

    /// The next `n` values.
    fn values<T: Pod>(&mut self, n: usize) -> io::Result<Vec<T>> {
        let size = (n as u64).checked_mul(size_of::<T>() as u64);
        let end = size.and_then(|size| self.at.checked_add(size));
        let end = end.filter(|end| *end <= self.n_bytes);
        let end = end.ok_or_else(|| invalid("a length exceeds the file"))?;
        let mut values = vec![T::zeroed(); n];
        huge_pages::ask_for(&values);
        let sum = read_by_all_cores(self.file, bytemuck::cast_slice_mut(&mut values), self.at)?;
        self.checksum.combine(&sum);
        self.at = end;
        Ok(values)
    }

    /// Links of some of `n_slots` slots to each other.
    fn links(&mut self, [width, n_lists]: [usize; 2], n_slots: usize) -> io::Result<Links> {
        if !(1..=n_slots).contains(&n_lists) || width == 0 {
            return Err(invalid("a layer has no such size"));
        }
        let targets: Vec<u32> = self.values(n_lists.saturating_mul(width))?;
        // With one more `links::NOBODY` is 0. (The greatest is found sooner than whether all are small enough.)
        let greatest = targets.iter().map(|target| target.wrapping_add(1)).max();
        match greatest.is_some_and(|greatest| greatest as usize <= n_lists) {
            true => Ok(Links { width, targets }),
            false => Err(invalid("its links lead nowhere")),
        }
    }

    /// The graph, its numbers still in the file, and the checksum of what was read.
    fn index(mut self, file: File, path: &Path) -> io::Result<(GraphIndex, u32)> {
        let shape: Vec<u64> = self.values(N_SHAPE)?;
        let number = |at: usize| usize::try_from(shape[at]).unwrap_or(usize::MAX);
        let (dim, n, n_layers) = (number(1), number(2), number(3));
        if shape[0] != MAGIC || dim > MAX_DIM || n > MAX_SLOTS || n_layers > MAX_LAYERS {
            return Err(invalid("it is not the shape of a graph"));
        }
        let mut vectors = Vectors::new(dim);
        vectors.entries = self.values(n)?.into_iter().map(EntryId).collect();
        if !order::is_shuffled(vectors.entries()) {
            return Err(invalid("its entries stand in another order"));
        }
        let is_dead: Vec<u8> = self.values(n)?;
        let checksums = self.values(n)?;
        vectors.scales = self.values(n)?;
        vectors.sums = self.values(n)?;
        vectors.codes = self.values(n * vectors.stride)?;
        let greatest = 128 * vectors.stride as u32;
        if vectors.sums.iter().any(|sum| sum.unsigned_abs() > greatest) {
            return Err(invalid("its codes have no such sums"));
        }
        let mut layers: Vec<Links> = Vec::new();
        for layer in 0..n_layers {
            let below = layers.last().map_or(n, Links::n_lists);
            let size = [number(4 + 2 * layer), number(5 + 2 * layer)];
            layers.push(self.links(size, below)?);
        }
        if layers.first().map_or(0, Links::n_lists) != n {
            return Err(invalid("it lacks links"));
        }
        if self.n_bytes - self.at != 4 * (n * dim) as u64 {
            return Err(invalid("it holds more or less than its vectors"));
        }
        let rows = RowFile::new(file, path.to_owned(), self.at, checksums);
        vectors.values = Values::File(Arc::new(rows));
        let is_dead = is_dead.into_iter().map(|dead| dead != 0).collect();
        let index = GraphIndex::from_parts(vectors, Graph { layers }, is_dead);
        Ok((index, self.checksum.finalize()))
    }
}

/// Fills `bytes` from one place of a file, and sums them up while they are in the cache. (Threads of its
/// own: a job that `rayon` hands to a waiting thread may want a lock that the opener holds.)
fn read_by_all_cores(file: &File, bytes: &mut [u8], at: u64) -> io::Result<Hasher> {
    let n_threads = thread::available_parallelism().map_or(1, usize::from);
    let share = bytes.len().div_ceil(n_threads).max(READ_TOGETHER);
    let read = |bytes: &mut [u8], mut at: u64| -> io::Result<Hasher> {
        let mut checksum = Hasher::new();
        for block in bytes.chunks_mut(1 << 18) {
            read_at(file, block, at)?;
            checksum.update(block);
            at += block.len() as u64;
        }
        Ok(checksum)
    };
    if bytes.len() <= share {
        return read(bytes, at);
    }
    thread::scope(|scope| {
        let shares = (at..).step_by(share).zip(bytes.chunks_mut(share));
        let readers: Vec<_> = shares
            .map(|(at, bytes)| scope.spawn(move || read(bytes, at)))
            .collect();
        let mut checksum = Hasher::new();
        for reader in readers {
            let sum = reader.join().expect("reading does not panic");
            checksum.combine(&sum?);
        }
        Ok(checksum)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Embedding;
    use crate::index::ExactIndex;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    static GOOD: LazyLock<Vec<u8>> = LazyLock::new(good);

    fn good() -> Vec<u8> {
        let mut index = ExactIndex::new(2);
        for entry in 0u64..40 {
            let vector = Embedding::new(vec![1.0, entry as f32]).expect("a direction");
            index.insert(EntryId(entry), &vector).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(GRAPH_FILE);
        write_graph(&GraphIndex::build(index), &path).unwrap();
        fs::read(path).unwrap()
    }

    /// Reads a file of these bytes, whatever their checksum.
    fn read(bytes: &[u8]) -> io::Result<GraphIndex> {
        let mut file = tempfile::tempfile()?;
        file.write_all(bytes)?;
        let index = Source::new(&file)?.index(file.try_clone()?, Path::new("a test"))?;
        Ok(index.0)
    }

    #[test]
    fn lengths_beyond_the_file_are_not_reserved() {
        assert!(read(&GOOD).is_ok());
        for at in 1..6 {
            for value in [u64::MAX, 1 << 29, 1 << 13] {
                let mut bytes = GOOD.clone();
                bytes[8 * at..][..8].copy_from_slice(&value.to_ne_bytes());
                assert!(read(&bytes).is_err(), "{value} as number {at}");
            }
        }
    }

    #[test]
    fn bytes_read_by_many_threads_are_those_read_by_one() {
        let mut file = tempfile::tempfile().unwrap();
        let written: Vec<u8> = (0..3 * READ_TOGETHER as u32 + 5)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        file.write_all(&written).unwrap();
        let mut bytes = vec![0; written.len() - 3];
        let checksum = read_by_all_cores(&file, &mut bytes, 3).unwrap();
        assert!(bytes == written[3..]);
        assert_eq!(checksum.finalize(), crc32fast::hash(&written[3..]));
        assert!(read_by_all_cores(&file, &mut bytes, 4).is_err());
    }

    proptest! {
        // The checksum keeps such files away; this is for one that carries a right checksum.
        #[test]
        fn wrong_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let mut bytes = GOOD.clone();
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Ok(index) = read(&bytes) {
                let query = Embedding::new(vec![1.0, 2.0]).expect("a direction");
                let _ = index.search_many(&[query], 3, 9, None);
            }
        }
    }
}
