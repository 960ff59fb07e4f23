//! What a long-running process does on the side: finishing checks that a restart cut off, looking
//! back, forgetting.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::cases::Subject;
use super::{Engine, EngineError};
use crate::domain::FindingSource;

impl Engine {
    /// One round of what is to be done on the side: looks back at photos seen before the latest
    /// registrations, as long as `goes_on`, and with `forgets` lets go of what is past its time.
    /// Errors are logged; the next round tries again.
    pub fn tend(&self, forgets: bool, goes_on: impl Fn() -> bool) {
        let forget = || {
            self.store
                .forget_expired()
                .and_then(|()| self.store.forget_events())
        };
        if forgets && let Err(error) = forget() {
            tracing::error!(%error, "what is past its time could not be forgotten");
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
    }

    /// Checks the photos that a stopped process had promised to check; gives their number.
    ///
    /// # Errors
    /// [`EngineError`] when the store fails; a photo that cannot be read is let go, one that ends in a
    /// panic is tried again at the next start.
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
                kept_as: held.kept_as,
                source: FindingSource::Screen,
                keeping: held.keeping,
                brands: None,
            };
            // A panic would keep all photos behind this one from being checked, now and at every start.
            match catch_unwind(AssertUnwindSafe(|| self.open_case(&subject, |_| {}))) {
                Ok(Ok(_)) => n_done += 1,
                Ok(Err(error)) if error.is_bad_input() => {
                    tracing::info!(photo = held.name, %error, "a held photo cannot be read");
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    tracing::error!(photo = held.name, "checking a held photo ended in a panic");
                    continue;
                }
            }
            self.store.release_photo(id)?;
        }
        Ok(n_done)
    }
}
