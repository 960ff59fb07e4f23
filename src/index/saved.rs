//! A graph on disk: `manifest.json` names the folder of the generation that counts and the checksum of
//! the file in it. The checksum is compared before anything in the file is believed.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::links::{Graph, Links, NOBODY};
use super::vectors::Vectors;
use super::walk::MAX_SLOTS;
use super::{EntryId, GraphIndex, IndexError};
use crate::domain::FileDigest;

const MANIFEST: &str = "manifest.json";
const GRAPH_FILE: &str = "graph.bin";
const GENERATION_PREFIX: &str = "generation-";
/// Changes with the layout of the file.
const FORMAT: u32 = 2;

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    generation: u64,
    stamp: String,
    n_bytes: u64,
    sha256: String,
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

/// Writes the graph as a new generation, makes it count, and removes the others.
pub(super) fn save(index: &GraphIndex, folder: &Path, stamp: &str) -> Result<(), IndexError> {
    at(folder, fs::create_dir_all(folder))?;
    let newest = generations(folder)?.into_iter().max();
    let generation = newest.map_or(1, |newest| newest + 1);
    let own_folder = generation_folder(folder, generation);
    at(&own_folder, fs::create_dir(&own_folder))?;
    let path = own_folder.join(GRAPH_FILE);
    let (n_bytes, sha256) = at(&path, write_graph(index, &path))?;
    at(&own_folder, sync_folder(&own_folder))?;
    let manifest = Manifest {
        format: FORMAT,
        generation,
        stamp: stamp.to_owned(),
        n_bytes,
        sha256,
    };
    write_manifest(folder, &manifest)?;
    for old in generations(folder)? {
        if old != generation {
            let old = generation_folder(folder, old);
            at(&old, fs::remove_dir_all(&old))?;
        }
    }
    Ok(())
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
            return Err(damaged(&path, "the file is missing"));
        }
        opened => at(&path, opened)?,
    };
    let n_bytes = at(&path, file.metadata())?.len();
    if n_bytes != manifest.n_bytes {
        let reason = format!("{n_bytes} bytes instead of {}", manifest.n_bytes);
        return Err(damaged(&path, reason));
    }
    let sha256 = at(&path, checksum(file))?;
    if sha256 != manifest.sha256 {
        let reason = format!("checksum {sha256} instead of {}", manifest.sha256);
        return Err(damaged(&path, reason));
    }
    let mut source = Source {
        reader: BufReader::new(at(&path, File::open(&path))?),
        n_left: n_bytes,
    };
    match source.index() {
        Ok(index) => Ok(index),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(damaged(&path, error.to_string()))
        }
        Err(error) => at(&path, Err(error)),
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

fn checksum(mut file: File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut file, &mut hasher)?;
    Ok(FileDigest(hasher.finalize().into()).to_hex())
}

/// Writes to a file and sums up what is written.
struct Sink {
    file: BufWriter<File>,
    hasher: Sha256,
    n_bytes: u64,
}

impl Sink {
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.n_bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn number(&mut self, number: usize) -> io::Result<()> {
        self.bytes(&(number as u64).to_le_bytes())
    }

    fn list(&mut self, list: &[u32]) -> io::Result<()> {
        self.number(list.len())?;
        for value in list {
            self.bytes(&value.to_le_bytes())?;
        }
        Ok(())
    }
}

fn write_graph(index: &GraphIndex, path: &Path) -> io::Result<(u64, String)> {
    let mut sink = Sink {
        file: BufWriter::with_capacity(1 << 16, File::create(path)?),
        hasher: Sha256::new(),
        n_bytes: 0,
    };
    let vectors = &index.vectors;
    sink.number(vectors.dim())?;
    sink.number(vectors.len())?;
    for (slot, entry) in vectors.entries().iter().enumerate() {
        sink.bytes(&entry.0.to_le_bytes())?;
        sink.bytes(&[u8::from(index.is_dead()[slot])])?;
        for value in vectors.values(slot) {
            sink.bytes(&value.to_le_bytes())?;
        }
    }
    let graph = &index.graph;
    sink.number(graph.layers.len())?;
    for layer in &graph.layers {
        sink.number(layer.width)?;
        sink.list(&layer.targets)?;
    }
    let file = sink
        .file
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    let digest = FileDigest(sink.hasher.finalize().into());
    Ok((sink.n_bytes, digest.to_hex()))
}

/// Reads what [`write_graph`] wrote. Believes no length that the file has no room for, and no link
/// that leads nowhere.
struct Source<R> {
    reader: R,
    n_left: u64,
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, reason)
}

impl<R: Read> Source<R> {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let left = self.n_left.checked_sub(N as u64);
        self.n_left = left.ok_or_else(|| invalid("it ends too early"))?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn word(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// How many things of `size` bytes follow.
    fn number(&mut self, size: u64) -> io::Result<usize> {
        let number = u64::from_le_bytes(self.array()?);
        let fits = number
            .checked_mul(size)
            .is_some_and(|n_bytes| n_bytes <= self.n_left);
        match usize::try_from(number) {
            Ok(number) if fits => Ok(number),
            _ => Err(invalid("a length exceeds the file")),
        }
    }

    fn list(&mut self) -> io::Result<Vec<u32>> {
        let n = self.number(4)?;
        (0..n).map(|_| self.word()).collect()
    }

    /// Links of some of `n_slots` slots to each other.
    fn links(&mut self, n_slots: usize) -> io::Result<Links> {
        let width = self.number(1)?;
        let targets = self.list()?;
        let links = Links { width, targets };
        let n_lists = links.n_lists();
        let is_sound = (1..=n_slots).contains(&n_lists)
            && links.targets.len() == n_lists * width
            && links
                .targets
                .iter()
                .all(|&t| t == NOBODY || (t as usize) < n_lists);
        match is_sound {
            true => Ok(links),
            false => Err(invalid("its links lead nowhere")),
        }
    }

    fn index(&mut self) -> io::Result<GraphIndex> {
        let dim = self.number(1)?;
        let n = self.number((dim as u64).saturating_mul(4).saturating_add(9))?;
        if n > MAX_SLOTS {
            return Err(invalid("it holds more than a graph can"));
        }
        let mut vectors = Vectors::new(dim);
        let mut dead = Vec::new();
        let mut values = vec![0f32; dim];
        for _ in 0..n {
            let entry = EntryId(u64::from_le_bytes(self.array()?));
            if self.array::<1>()? != [0] {
                dead.push(entry);
            }
            for value in &mut values {
                *value = f32::from_le_bytes(self.array()?);
            }
            vectors.push(entry, &values);
        }
        if vectors.entries().iter().collect::<HashSet<_>>().len() != n {
            return Err(invalid("an entry stands in it twice"));
        }
        let graph = self.graph(n)?;
        let mut index = GraphIndex::from_parts(vectors, graph);
        for entry in dead {
            index.remove(entry);
        }
        Ok(index)
    }

    /// Links of `n` slots: of all in the lowest layer, of ever fewer above.
    fn graph(&mut self, n: usize) -> io::Result<Graph> {
        let n_layers = self.number(16)?;
        let mut layers: Vec<Links> = Vec::new();
        for _ in 0..n_layers {
            let below = layers.last().map_or(n, Links::n_lists);
            layers.push(self.links(below)?);
        }
        if layers.first().map_or(0, Links::n_lists) != n {
            return Err(invalid("it lacks links"));
        }
        if self.n_left > 0 {
            return Err(invalid("something stands after its end"));
        }
        Ok(Graph { layers })
    }
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

    fn read(bytes: &[u8]) -> io::Result<GraphIndex> {
        let mut source = Source {
            reader: bytes,
            n_left: bytes.len() as u64,
        };
        source.index()
    }

    #[test]
    fn lengths_beyond_the_file_are_not_reserved() {
        let mut bytes = GOOD.clone();
        assert!(read(&bytes).is_ok());
        bytes[8..16].fill(0xff);
        assert!(read(&bytes).is_err());
        bytes[..8].fill(0xff);
        assert!(read(&bytes).is_err());
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
