//! A screening in progress: photos are worked on by rayon's threads, whoever waits for them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::answer::{PhotoState, answer};
use super::{ScreenPhoto, ScreenRequest, Screened, ScreenedPhoto};
use crate::domain::{FileDigest, FindingSource, Keep};
use crate::engine::cases::Subject;
use crate::engine::{CasePhoto, Engine, EngineError, PipelineStage};
use crate::store::{ListingRowId, PendingPhoto};

/// Photos in progress for each thread, over all screenings: about ten seconds of work. More are
/// turned away, lest memory fills and every answer comes too late.
const MAX_WAITING_PER_THREAD: usize = 64;

/// What is told of a photo that failed on this side.
const FAILED_HERE: &str = "it could not be checked; the cause is in the log";

/// Where one photo is.
#[derive(Debug, Clone)]
enum Progress {
    Waiting,
    At(PipelineStage),
    Done(Result<CasePhoto, String>),
}

#[derive(Debug)]
struct Place {
    progress: Progress,
    sha256: Option<FileDigest>,
    /// Its row among the photos held through a restart.
    held: Option<i64>,
}

struct Shared {
    request: ScreenRequest,
    /// What the listing is kept as, unless it is forgotten meanwhile.
    kept_as: Option<ListingRowId>,
    places: Mutex<Vec<Place>>,
    changed: Condvar,
    /// What is not begun is not wanted any more.
    is_dropped: AtomicBool,
}

/// A screening in progress. Dropping it changes nothing: the photos are checked all the same.
pub struct RunningScreening {
    engine: Arc<Engine>,
    shared: Arc<Shared>,
    started: Instant,
}

impl Engine {
    /// Begins to check a listing; all photos at once, as threads become free.
    ///
    /// # Errors
    /// [`EngineError::Backlog`] when too many photos wait already; [`EngineError`] when the listing
    /// cannot be kept.
    pub fn start_screening(
        self: &Arc<Self>,
        request: ScreenRequest,
    ) -> Result<RunningScreening, EngineError> {
        let started = Instant::now();
        let n_photos = request.photos.len();
        self.take_places(n_photos)?;
        let kept_as = match self.store.put_listing(&request.listing, request.keeping) {
            Ok(kept_as) => kept_as,
            Err(error) => {
                self.screenings.fetch_sub(n_photos, Ordering::Relaxed);
                return Err(error.into());
            }
        };
        let place = |_: &ScreenPhoto| Place {
            progress: Progress::Waiting,
            sha256: None,
            held: None,
        };
        let shared = Arc::new(Shared {
            places: Mutex::new(request.photos.iter().map(place).collect()),
            changed: Condvar::new(),
            is_dropped: AtomicBool::new(false),
            kept_as,
            request,
        });
        for position in 0..n_photos {
            let (engine, shared) = (Arc::clone(self), Arc::clone(&shared));
            rayon::spawn_fifo(move || {
                shared.work_on(&engine, position);
                engine.screenings.fetch_sub(1, Ordering::Relaxed);
            });
        }
        Ok(RunningScreening {
            engine: Arc::clone(self),
            shared,
            started,
        })
    }

    fn take_places(&self, n_photos: usize) -> Result<(), EngineError> {
        let limit = self.settings.n_threads.max(1) * MAX_WAITING_PER_THREAD;
        let taken = self
            .screenings
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n == 0 || n + n_photos <= limit).then_some(n + n_photos)
            });
        taken.map_err(|n_waiting| EngineError::Backlog { n_waiting })?;
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, position: usize, progress: Progress) {
        self.lock()[position].progress = progress;
        self.changed.notify_all();
    }

    fn work_on(&self, engine: &Engine, position: usize) {
        if self.is_dropped.load(Ordering::Relaxed) {
            return;
        }
        let photo = &self.request.photos[position];
        let outcome = match &photo.bytes {
            Ok(bytes) => {
                self.lock()[position].sha256 = Some(FileDigest::of(bytes));
                self.look_at(engine, position, &photo.name, bytes)
            }
            Err(reason) => Ok(Err(reason.clone())),
        };
        let failed_here = outcome.is_err();
        let told = outcome.unwrap_or_else(|()| Err(FAILED_HERE.to_owned()));
        self.set(position, Progress::Done(told));
        let held = self.lock()[position].held.take();
        // What failed on this side is tried again at the next start.
        if let Some(id) = held.filter(|_| !failed_here)
            && let Err(error) = engine.store.release_photo(id)
        {
            tracing::error!(%error, "a checked photo is held; it is checked again at the next start");
        }
    }

    /// The inner error is the photo's; the outer one is this side's, and logged.
    fn look_at(
        &self,
        engine: &Engine,
        position: usize,
        name: &str,
        bytes: &[u8],
    ) -> Result<Result<CasePhoto, String>, ()> {
        let subject = Subject {
            bytes,
            name,
            listing: Some(&self.request.listing),
            kept_as: self.kept_as,
            source: FindingSource::Screen,
            keeping: self.request.keeping,
            brands: None,
        };
        let enter = |stage| self.set(position, Progress::At(stage));
        // A panic would take rayon's thread with it, and the whole program.
        let looked = catch_unwind(AssertUnwindSafe(|| engine.open_case(&subject, enter)));
        match looked {
            Ok(Ok(case)) => Ok(Ok(case)),
            Ok(Err(error)) if error.is_bad_input() => Ok(Err(error.to_string())),
            Ok(Err(error)) => {
                tracing::error!(photo = name, %error, "a photo could not be checked");
                Err(())
            }
            Err(_) => {
                tracing::error!(photo = name, "checking a photo ended in a panic");
                Err(())
            }
        }
    }
}

impl RunningScreening {
    /// The answer, when all photos are checked or `budget` (from the beginning) has run out. What is
    /// unchecked then is held on disk until it is checked, unless nothing of this listing is to be
    /// kept: then it is not checked at all.
    ///
    /// # Errors
    /// [`EngineError`] when the unchecked photos cannot be held.
    pub fn answer(&self, budget: Option<Duration>) -> Result<Screened, EngineError> {
        let is_open = |places: &mut Vec<Place>| {
            let is_done = |place: &Place| matches!(place.progress, Progress::Done(_));
            !places.iter().all(is_done)
        };
        let places = self.shared.lock();
        let mut places = match budget {
            None => self
                .shared
                .changed
                .wait_while(places, is_open)
                .unwrap_or_else(PoisonError::into_inner),
            Some(budget) => {
                let left = budget.saturating_sub(self.started.elapsed());
                let waited = self
                    .shared
                    .changed
                    .wait_timeout_while(places, left, is_open);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        let request = &self.shared.request;
        let states = places.iter().zip(&request.photos).map(state).collect();
        let mut screened = answer(&request.listing, states);
        if !screened.unchecked.is_empty() {
            screened.continues_in_background = request.keeping.keep != Keep::Nothing;
            if screened.continues_in_background {
                self.hold(&mut places)?;
            } else {
                self.shared.is_dropped.store(true, Ordering::Relaxed);
            }
        }
        drop(places);
        screened.elapsed_ms = self.started.elapsed().as_secs_f64() * 1e3;
        Ok(screened)
    }

    /// Under the lock, so that no photo becomes done between being seen as unchecked and being held.
    fn hold(&self, places: &mut [Place]) -> Result<(), EngineError> {
        let request = &self.shared.request;
        let mut held = Vec::new();
        let mut positions = Vec::new();
        for (position, (place, photo)) in places.iter().zip(&request.photos).enumerate() {
            let is_done = matches!(place.progress, Progress::Done(_)) || place.held.is_some();
            if let (false, Ok(bytes)) = (is_done, &photo.bytes) {
                positions.push(position);
                held.push(PendingPhoto {
                    listing: request.listing.clone(),
                    kept_as: self.shared.kept_as,
                    name: photo.name.clone(),
                    bytes: bytes.clone(),
                    keeping: request.keeping,
                });
            }
        }
        let ids = self.engine.store.hold_photos(&held)?;
        for (position, id) in positions.into_iter().zip(ids) {
            places[position].held = id;
        }
        Ok(())
    }
}

fn state((place, photo): (&Place, &ScreenPhoto)) -> PhotoState {
    let (answer, error, stages_left) = match &place.progress {
        Progress::Waiting => (None, None, PipelineStage::ALL.to_vec()),
        Progress::At(stage) => {
            let left = PipelineStage::ALL.into_iter().filter(|s| s >= stage);
            (None, None, left.collect())
        }
        Progress::Done(Ok(case)) => (Some(case.clone()), None, Vec::new()),
        Progress::Done(Err(reason)) => (None, Some(reason.clone()), Vec::new()),
    };
    PhotoState {
        photo: ScreenedPhoto {
            name: photo.name.clone(),
            sha256: place.sha256,
            answer,
            error,
        },
        stages_left,
    }
}
