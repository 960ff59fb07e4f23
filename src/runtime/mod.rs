//! ONNX Runtime: finding its library, and pools of single-threaded sessions.
//!
//! Knows nothing of pictures or embeddings; `embed` and `ocr` say what goes in and what comes out.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use thiserror::Error;

/// File name of the library on this system.
const LIBRARY: &str = "libonnxruntime.so";

/// Why the network cannot run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// No library where it is looked for.
    #[error(
        "{LIBRARY} was found in none of {searched:?}: run `make setup`, or set ORT_DYLIB_PATH to the file"
    )]
    LibraryMissing {
        /// Paths tried, in order.
        searched: Vec<PathBuf>,
    },
    /// The file is there, but is not a library that can be loaded.
    #[error("loading {path}: {cause}", path = path.display())]
    LibraryUnusable {
        /// The file.
        path: PathBuf,
        /// What the loader said.
        cause: String,
    },
    /// ONNX Runtime refused the model or the input.
    #[error("onnx runtime: {0}")]
    Onnx(#[from] ort::Error),
}

/// Places that may hold the library: `ORT_DYLIB_PATH`, beside the program, in `../lib` of it, and
/// `vendor/ort` of the working folder.
fn library_candidates() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = env::var_os("ORT_DYLIB_PATH")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    if let Some(folder) = env::current_exe().ok().as_deref().and_then(Path::parent) {
        paths.push(folder.join(LIBRARY));
        paths.push(folder.join("../lib").join(LIBRARY));
        // A `cargo build` leaves the program in `target/release`.
        paths.push(folder.join("../../vendor/ort").join(LIBRARY));
    }
    paths.push(Path::new("vendor/ort").join(LIBRARY));
    paths
}

/// The library that will be loaded.
///
/// # Errors
/// [`RuntimeError::LibraryMissing`] with every place that was tried.
pub fn library_path() -> Result<PathBuf, RuntimeError> {
    let searched = library_candidates();
    match searched.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(RuntimeError::LibraryMissing { searched }),
    }
}

/// The process-wide environment, loading the library on first use.
///
/// # Errors
/// [`RuntimeError::LibraryMissing`], [`RuntimeError::LibraryUnusable`], [`RuntimeError::Onnx`].
pub fn environment() -> Result<&'static Environment, RuntimeError> {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    static LOADING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = ENVIRONMENT.get() {
        return Ok(environment);
    }
    let path = library_path()?;
    let builder = ort::init_from(&path).map_err(|cause| RuntimeError::LibraryUnusable {
        path,
        cause: cause.to_string(),
    })?;
    let environment = builder
        .with_name("touchstone")
        .with_telemetry(false)
        .build()?;
    Ok(ENVIRONMENT.get_or_init(|| environment))
}

/// Several sessions of one model, each single-threaded, so that photos run in parallel: one photo on
/// two threads is often slower than two photos on one thread each.
pub struct SessionPool {
    sessions: Vec<Mutex<Session>>,
    next: AtomicUsize,
}

impl SessionPool {
    /// Loads `model` (the bytes of an ONNX file) `n_sessions` times, at least once.
    ///
    /// # Errors
    /// [`RuntimeError`] when the library or the model cannot be loaded.
    pub fn open(model: &[u8], n_sessions: usize) -> Result<Self, RuntimeError> {
        let sessions = (0..n_sessions.max(1))
            .map(|_| open_session(model).map(Mutex::new))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            sessions,
            next: AtomicUsize::new(0),
        })
    }

    /// A session that nobody else uses; waits when all are busy.
    pub fn acquire(&self) -> MutexGuard<'_, Session> {
        if let Some(free) = self.sessions.iter().find_map(|s| s.try_lock().ok()) {
            return free;
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.sessions.len();
        // A panic elsewhere leaves no broken state behind: a session keeps none between runs.
        self.sessions[turn]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn open_session(model: &[u8]) -> Result<Session, RuntimeError> {
    // Each step's error carries the builder to go on with; only the cause is of use here.
    let builder = Session::builder(environment()?)?;
    let builder = builder
        .with_optimization_level(GraphOptimizationLevel::All)
        .map_err(ort::Error::<()>::from)?;
    let builder = builder
        .with_intra_threads(1)
        .map_err(ort::Error::<()>::from)?;
    let mut builder = builder
        .with_inter_threads(1)
        .map_err(ort::Error::<()>::from)?;
    Ok(builder.commit_from_memory(model)?)
}
