//! The index that the engine uses: searched and changed at the same time.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{
    Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard,
    RwLockWriteGuard,
};
use std::thread;

use super::values::RowFile;
use super::walk::MAX_SLOTS;
use super::{Allow, DEFAULT_EF, EntryId, ExactIndex, GraphIndex, IndexError, Neighbour, saved};
use crate::domain::{Embedding, with_causes};

/// Up to so many vectors all are looked at; a graph takes over beyond. For the 65 windows of a photo
/// one pass over 50,000 vectors takes 14 ms and finds everything; 65 walks take 10 ms among 10,000
/// vectors and 19 ms among 100,000 (`benches/search.rs`, November 2026).
pub const EXACT_LIMIT: usize = 50_000;

/// Vectors that have come since the graph was built are looked at one by one until they are this
/// share of it, one in so many.
const GROWTH_SHARE: usize = 8;

/// Queries that take much longer than a thread to start: about two milliseconds.
const WORTH_A_THREAD: usize = 20;

/// Asked once: it reads files.
static N_CORES: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));

/// Nearest neighbours among vectors that come and go.
///
/// Searches run side by side; an insertion or removal is seen by every search that starts after it.
/// Where there are more than [`EXACT_LIMIT`] vectors, a graph is built in the background; until it
/// stands, and for what has come since, all vectors are looked at. Neither building nor saving it keeps
/// anybody waiting.
#[derive(Clone)]
pub struct LiveIndex {
    shared: Arc<Shared>,
}

struct Shared {
    parts: RwLock<Parts>,
    /// Searches under way, which share the cores. (One that panics stays counted: fewer threads.)
    n_searching: AtomicUsize,
    /// Held while a graph is built.
    building: Mutex<()>,
    /// Whether a thread is building, or about to.
    has_builder: AtomicBool,
    /// Where graphs are saved once they stand, if anywhere.
    home: OnceLock<Home>,
}

/// Where a graph is saved, and under which stamp.
struct Home {
    folder: PathBuf,
    stamp: String,
}

struct Parts {
    graph: Option<Arc<GraphIndex>>,
    /// What the graph does not hold.
    recent: ExactIndex,
    /// While a graph is built: the entries that changed since the vectors for it were copied.
    touched: Option<HashSet<EntryId>>,
    exact_limit: usize,
}

/// What a [`LiveIndex`] consists of, for people who look after one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexState {
    /// Vectors that all are looked at.
    pub n_scanned: usize,
    /// The rest, if there is one.
    pub graph: Option<GraphState>,
}

/// What the graph of a [`LiveIndex`] consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphState {
    /// Vectors held.
    pub n_vectors: usize,
    /// Vectors taken out that searches still walk through.
    pub n_dead: usize,
    /// Links between vectors.
    pub n_links: usize,
    /// Bytes in memory.
    pub size_bytes: usize,
    /// The file that `f32` numbers are read from; `None` until the graph is saved.
    pub saved_in: Option<PathBuf>,
    /// Whether numbers in that file were found damaged; the registry's took their place.
    pub is_damaged: bool,
}

impl LiveIndex {
    /// An empty index for vectors of `dim` numbers.
    pub fn new(dim: usize) -> Self {
        Self::with(dim, None)
    }

    #[cfg(test)]
    pub(super) fn with_limit(dim: usize, exact_limit: usize) -> Self {
        Self::new(dim).exact_up_to(exact_limit)
    }

    /// The same index with another limit than [`EXACT_LIMIT`]; not for one that is searched already.
    pub fn exact_up_to(self, n_vectors: usize) -> Self {
        self.shared.write().exact_limit = n_vectors;
        self
    }

    /// The index that was saved in `folder` under `stamp`. It holds what was in the graph then: insert
    /// every vector of the registry (those that are there already cost next to nothing), and
    /// [`retain`](Self::retain) only those.
    ///
    /// # Errors
    /// [`IndexError::NotSaved`], [`IndexError::Stale`], [`IndexError::Damaged`], [`IndexError::Io`]:
    /// whichever it is, begin with [`new`](Self::new) and insert everything.
    pub fn open(dim: usize, folder: &Path, stamp: &str) -> Result<Self, IndexError> {
        let graph = GraphIndex::open(folder, stamp)?;
        match graph.dim() == dim {
            true => Ok(Self::with(dim, Some(graph))),
            false => Err(IndexError::Dimension {
                expected: dim,
                actual: graph.dim(),
            }),
        }
    }

    fn with(dim: usize, graph: Option<GraphIndex>) -> Self {
        let parts = Parts {
            graph: graph.map(Arc::new),
            recent: ExactIndex::new(dim),
            touched: None,
            exact_limit: EXACT_LIMIT,
        };
        Self {
            shared: Arc::new(Shared {
                parts: RwLock::new(parts),
                n_searching: AtomicUsize::new(0),
                building: Mutex::default(),
                has_builder: AtomicBool::new(false),
                home: OnceLock::new(),
            }),
        }
    }

    /// The same index, whose graph is from now on saved in `folder` whenever a new one stands, as
    /// [`save`](Self::save) does; a failure is only logged. The first call counts.
    pub fn saved_in(self, folder: &Path, stamp: &str) -> Self {
        self.shared.home.get_or_init(|| Home {
            folder: folder.to_owned(),
            stamp: stamp.to_owned(),
        });
        self
    }

    /// Saves the graph in `folder`, in place of the one saved there before, under a `stamp` that says
    /// which registry and model it is of; from then on its `f32` numbers are read from there. `false`:
    /// there is no graph, and nothing worth saving.
    ///
    /// # Errors
    /// [`IndexError::Io`], and [`IndexError::Damaged`] where the disk does not hold what was written; what was
    /// saved before then still stands.
    pub fn save(&self, folder: &Path, stamp: &str) -> Result<bool, IndexError> {
        // Nobody builds another graph meanwhile.
        let _building = self.shared.lock_building();
        self.shared.save(folder, stamp)
    }

    /// What it consists of at the moment.
    pub fn state(&self) -> IndexState {
        let parts = self.shared.read();
        let graph = parts.graph.as_ref().map(|graph| GraphState {
            n_vectors: graph.len(),
            n_dead: graph.n_dead(),
            n_links: graph.n_links(),
            size_bytes: graph.size_bytes(),
            saved_in: graph.rows().map(|rows| rows.path().to_owned()),
            is_damaged: graph.rows().is_some_and(RowFile::is_damaged),
        });
        IndexState {
            n_scanned: parts.recent.len(),
            graph,
        }
    }

    /// Numbers in a vector.
    pub fn dim(&self) -> usize {
        self.shared.read().recent.dim()
    }

    /// Vectors held.
    pub fn len(&self) -> usize {
        let parts = self.shared.read();
        parts.recent.len() + parts.graph.as_ref().map_or(0, |graph| graph.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a graph is in use.
    pub fn has_graph(&self) -> bool {
        self.shared.read().graph.is_some()
    }

    /// Adds a vector, in place of the one that `entry` had.
    ///
    /// # Errors
    /// [`IndexError::Dimension`].
    pub fn insert(&self, entry: EntryId, embedding: &Embedding) -> Result<(), IndexError> {
        let is_due = {
            let mut parts = self.shared.write();
            parts.insert(entry, embedding)?;
            parts.is_graph_due()
        };
        if is_due {
            self.build_in_background();
        }
        Ok(())
    }

    /// Takes a vector out; `false` if there was none.
    pub fn remove(&self, entry: EntryId) -> bool {
        self.shared.write().remove(entry)
    }

    /// Takes out every vector whose entry `keep` refuses.
    pub fn retain(&self, keep: impl Fn(EntryId) -> bool) {
        let mut parts = self.shared.write();
        let old = parts.graph.iter().flat_map(|graph| graph.entries());
        let all = old.chain(parts.recent.entries());
        let refused: Vec<_> = all.filter(|&entry| !keep(entry)).collect();
        for entry in refused {
            parts.remove(entry);
        }
    }

    /// The `k` nearest of each query, best first, the smaller entry first among equals, among the
    /// entries that `allow` lets through; shape of the answer `[n_queries, ≤ k]`. Exact up to
    /// [`EXACT_LIMIT`] vectors, nearly so beyond.
    ///
    /// `allow` must not change this index.
    ///
    /// # Errors
    /// [`IndexError::Dimension`].
    pub fn search_many(
        &self,
        queries: &[Embedding],
        k: usize,
        allow: Option<Allow<'_>>,
    ) -> Result<Vec<Vec<Neighbour>>, IndexError> {
        let parts = self.shared.read();
        let n_searching = self.shared.n_searching.fetch_add(1, Ordering::Relaxed) + 1;
        let n_threads = (*N_CORES / n_searching).min(queries.len() / WORTH_A_THREAD);
        let answers = parts.search_on(n_threads, queries, k, allow);
        self.shared.n_searching.fetch_sub(1, Ordering::Relaxed);
        answers
    }

    /// Returns when the graph holds what it should, and is saved where it has a home: at once for few vectors,
    /// after minutes for many. Nobody has to call this.
    pub fn settle(&self) {
        self.shared.build_while_due();
    }

    fn build_in_background(&self) {
        if self.shared.has_builder.swap(true, Ordering::AcqRel) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            loop {
                shared.build_while_due();
                shared.has_builder.store(false, Ordering::Release);
                // An insertion may have come between and have relied on this thread.
                let is_due = shared.read().is_graph_due();
                if !is_due || shared.has_builder.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        });
    }
}

impl Shared {
    // A panic under a lock can only be a vector half inserted, which no search reaches.
    fn read(&self) -> RwLockReadGuard<'_, Parts> {
        self.parts.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Parts> {
        self.parts.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_building(&self) -> MutexGuard<'_, ()> {
        self.building.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn build_while_due(&self) {
        let _building = self.lock_building();
        while self.read().is_graph_due() {
            self.build();
        }
        let Some(home) = self.home.get() else { return };
        if self.is_unsaved()
            && let Err(error) = self.save(&home.folder, &home.stamp)
        {
            let why = with_causes(&error);
            tracing::warn!("the index is not saved, and made anew at the next start: {why}");
        }
    }

    /// Whether there is a graph that no file holds, or only a damaged one.
    fn is_unsaved(&self) -> bool {
        let parts = self.read();
        let graph = parts.graph.as_ref();
        graph.is_some_and(|graph| graph.rows().is_none_or(RowFile::is_damaged))
    }

    /// Builds a graph of all vectors, without a lock while it does.
    fn build(&self) {
        self.write().touched = Some(HashSet::new());
        // What changes from here on is touched, whether the copies hold it or not.
        let (old, recent) = {
            let parts = self.read();
            (parts.graph.clone(), parts.recent.clone())
        };
        let mut copied = ExactIndex::new(recent.dim());
        let settled = old.iter().flat_map(|graph| graph.iter());
        for (entry, values) in settled.chain(recent.iter()) {
            copied.push(entry, &values);
        }
        drop((old, recent));
        let graph = GraphIndex::build(copied);
        let mut parts = self.write();
        let touched = parts.touched.take().unwrap_or_default();
        let mut recent = ExactIndex::new(graph.dim());
        for &entry in &touched {
            graph.remove(entry);
            if let Some(values) = parts.recent.values(entry) {
                recent.push(entry, &values);
            }
        }
        let old = (
            parts.graph.replace(Arc::new(graph)),
            std::mem::replace(&mut parts.recent, recent),
        );
        // Freeing a large graph takes a while, and nobody has to wait for it.
        drop(parts);
        drop(old);
    }

    /// [`LiveIndex::save`] for whoever holds the lock of those who build.
    fn save(&self, folder: &Path, stamp: &str) -> Result<bool, IndexError> {
        let Some(graph) = self.read().graph.clone() else {
            return Ok(false);
        };
        let rows = saved::save(&graph, folder, stamp)?;
        drop(graph);
        let mut parts = self.write();
        // Nobody else has a hold on the graph: searches end before the lock is given, and nobody builds.
        let graph = parts.graph.as_mut().and_then(Arc::get_mut);
        let in_memory = graph.map(|graph| graph.keep_values_in(rows));
        drop(parts);
        // Freeing them takes a while, and nobody has to wait for it.
        drop(in_memory);
        Ok(true)
    }
}

impl Parts {
    /// Searches with so many threads, of its own: a job that `rayon` hands to a waiting thread may want
    /// the lock that the searcher holds.
    fn search_on(
        &self,
        n_threads: usize,
        queries: &[Embedding],
        k: usize,
        allow: Option<Allow<'_>>,
    ) -> Result<Vec<Vec<Neighbour>>, IndexError> {
        if n_threads <= 1 {
            return self.search(queries, k, allow);
        }
        let (own, others) = queries.split_at(queries.len() / n_threads);
        thread::scope(|scope| {
            let others = others.chunks(others.len().div_ceil(n_threads - 1));
            let others: Vec<_> = others
                .map(|some| scope.spawn(move || self.search(some, k, allow)))
                .collect();
            let mut answers = self.search(own, k, allow)?;
            for other in others {
                match other.join() {
                    Ok(further) => answers.extend(further?),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok(answers)
        })
    }

    fn search(
        &self,
        queries: &[Embedding],
        k: usize,
        allow: Option<Allow<'_>>,
    ) -> Result<Vec<Vec<Neighbour>>, IndexError> {
        let mut answers = self.recent.search_many(queries, k, allow)?;
        if let Some(graph) = &self.graph {
            let ef = DEFAULT_EF.max(k.saturating_mul(2));
            let further = graph.search_many(queries, k, ef, allow)?;
            for (answer, further) in answers.iter_mut().zip(further) {
                answer.extend(further);
                answer.sort_unstable_by(Neighbour::best_first);
                answer.truncate(k);
            }
        }
        Ok(answers)
    }

    fn insert(&mut self, entry: EntryId, embedding: &Embedding) -> Result<(), IndexError> {
        let known = self.recent.values(entry);
        let known = known.or_else(|| self.graph.as_ref()?.values(entry));
        if known.as_deref() == Some(embedding.as_slice()) {
            return Ok(());
        }
        self.recent.insert(entry, embedding)?;
        if let Some(graph) = &self.graph {
            graph.remove(entry);
        }
        self.touch(entry);
        Ok(())
    }

    fn remove(&mut self, entry: EntryId) -> bool {
        let was_recent = self.recent.remove(entry);
        let was_old = self.graph.as_ref().is_some_and(|graph| graph.remove(entry));
        self.touch(entry);
        was_recent || was_old
    }

    fn touch(&mut self, entry: EntryId) {
        if let Some(touched) = &mut self.touched {
            touched.insert(entry);
        }
    }

    fn is_graph_due(&self) -> bool {
        let n_recent = self.recent.len();
        let n_graph = self.graph.as_ref().map_or(0, |graph| graph.len());
        if n_graph + n_recent > MAX_SLOTS {
            return false;
        }
        match &self.graph {
            None => n_recent > self.exact_limit,
            Some(graph) => {
                let n_settled = graph.len().max(self.exact_limit);
                n_recent > n_settled / GROWTH_SHARE || graph.n_dead() > n_settled
            }
        }
    }
}
