//! Where work is done that would hold up the threads that serve connections.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task;
use tracing::Span;

use super::problem::{Problem, ProblemKind};
use super::telemetry::Waiting;
use crate::engine::Engine;

/// Kinds of work that do not wait for each other: a list of assets must not queue behind photos.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    /// Decoding and networks: as many at once as the engine has threads.
    Pictures,
    /// Reading records.
    Reads,
    /// Changing records; the database takes one writer at a time.
    Writes,
}

/// Reads at once: each takes well under a millisecond, and the store keeps 8 connections open.
const N_READS: usize = 8;

/// The engine, and room to work with it.
pub(super) struct Workers {
    engine: Arc<Engine>,
    pictures: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
}

impl Workers {
    pub fn new(engine: Arc<Engine>) -> Self {
        let n_pictures = engine.settings().n_threads.max(1);
        Self {
            engine,
            pictures: Arc::new(Semaphore::new(n_pictures)),
            reads: Arc::new(Semaphore::new(N_READS)),
            writes: Arc::new(Semaphore::new(1)),
        }
    }

    /// The same room for photos and reads, shared, with another engine: the machine has no more cores
    /// for a second tenant. Each database has a writer of its own.
    pub fn beside(&self, engine: Arc<Engine>) -> Self {
        Self {
            engine,
            pictures: Arc::clone(&self.pictures),
            reads: Arc::clone(&self.reads),
            writes: Arc::new(Semaphore::new(1)),
        }
    }

    /// The engine, for work that outlives its request.
    pub fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.engine)
    }

    /// Runs `job` when its lane has room. Dropping the future takes it out of the queue; a job that
    /// has begun is ended by nobody and keeps its place in the lane, so that the machine never does
    /// more at once than it should.
    pub async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        job: impl FnOnce(&Engine) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (lane, name) = match lane {
            Lane::Pictures => (&self.pictures, "pictures"),
            Lane::Reads => (&self.reads, "reads"),
            Lane::Writes => (&self.writes, "writes"),
        };
        let waiting = Waiting::begin(name);
        let place = Arc::clone(lane)
            .acquire_owned()
            .await
            .expect("lanes are never closed");
        drop(waiting);
        let engine = Arc::clone(&self.engine);
        let span = Span::current();
        let work = task::spawn_blocking(move || {
            let _place = place;
            span.in_scope(|| job(&engine))
        });
        work.await.unwrap_or_else(|error| {
            let kind = if error.is_panic() {
                ProblemKind::Internal
            } else {
                ProblemKind::NotReady
            };
            Err(Problem::hidden(kind, &error))
        })
    }
}
