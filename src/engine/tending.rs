//! What a long-running process does on the side: finishing checks that a restart cut off, looking
//! back, forgetting.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::cases::Subject;
use super::{Engine, EngineError};
use crate::domain::FindingSource;

/// How soon after a registration the look back begins.
const PAUSE: Duration = Duration::from_millis(500);
/// How often what is past its time is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

impl Engine {
    /// Finishes checks that were cut off, then looks back after each registration and forgets what is
    /// past its time, until `stop` is set. Errors are logged; the next round tries again.
    pub fn tend(&self, stop: &AtomicBool) {
        let goes_on = || !stop.load(Ordering::Relaxed);
        if let Err(error) = self.finish_held_photos(goes_on) {
            tracing::error!(%error, "checks that were cut off could not be finished");
        }
        let mut forgot_at: Option<Instant> = None;
        while goes_on() {
            if forgot_at.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
                forgot_at = Some(Instant::now());
                if let Err(error) = self.store.forget_expired() {
                    tracing::error!(%error, "what is past its time could not be forgotten");
                }
            }
            match self.look_back(goes_on) {
                Ok(done) if done.n_photos > 0 => tracing::info!(
                    n_photos = done.n_photos,
                    n_findings = done.n_findings,
                    "looked back"
                ),
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "could not look back"),
            }
            thread::sleep(PAUSE);
        }
    }

    /// Checks the photos that a stopped process had promised to check; gives their number.
    ///
    /// # Errors
    /// [`EngineError`] when the store fails; a photo that cannot be read is let go.
    pub fn finish_held_photos(&self, may_go_on: impl Fn() -> bool) -> Result<usize, EngineError> {
        // Those held from now on are of screenings that finish them themselves.
        let last = self.store.last_held_photo()?;
        let (mut n_done, mut after) = (0, 0);
        while may_go_on() {
            let Some((id, held)) = self.store.next_held_photo(after)? else {
                break;
            };
            if id > last {
                break;
            }
            after = id;
            let subject = Subject {
                bytes: &held.bytes,
                name: &held.name,
                listing: Some(&held.listing),
                source: FindingSource::Screen,
                keeping: held.keeping,
            };
            match self.open_case(&subject, |_| {}) {
                Ok(_) => n_done += 1,
                Err(error) if error.is_bad_input() => {
                    tracing::info!(photo = held.name, %error, "a held photo cannot be read");
                }
                Err(error) => return Err(error),
            }
            self.store.release_photo(id)?;
        }
        Ok(n_done)
    }
}
