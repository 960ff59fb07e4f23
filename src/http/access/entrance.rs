//! The keys of a server, and how it asks for them.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tokio::task;

use super::super::problem::{Problem, ProblemKind};
use super::presented::Presented;
use super::rate::{KeyRate, Meter};
use crate::store::{AccessStore, Holder, KeyRefusal, StoreError};

/// Looks at the keys at once: each takes well under a millisecond.
const N_LOOKS: usize = 8;
/// How exactly the last use of a key is noted: each note is a write to the disk.
const NOTED_TO: SignedDuration = SignedDuration::from_mins(1);

/// Failed sign-ins that are written down within a minute; all are logged.
const FAILURES_NOTED: NonZeroU32 = NonZeroU32::new(30).expect("not 0");

/// How a server asks for keys.
#[derive(Debug, Clone, Default)]
pub struct EntranceSettings {
    /// Whoever shows no key is an operator of the default tenant.
    pub is_open: bool,
    /// Browsers reach the server over HTTPS alone: cookies are marked so. Headers that a proxy may set
    /// are not asked, since anyone may set them.
    pub behind_tls: bool,
    /// How often each key may ask; `None`: as often as it likes.
    pub rate: Option<KeyRate>,
}

/// The keys, and how they are asked for.
pub struct Entrance {
    store: Arc<AccessStore>,
    settings: EntranceSettings,
    meter: Option<Meter>,
    looks: Arc<Semaphore>,
    failures: DefaultDirectRateLimiter,
}

impl Entrance {
    /// Asks for the keys of `store`.
    pub fn new(store: Arc<AccessStore>, settings: EntranceSettings) -> Self {
        Self {
            store,
            meter: settings.rate.map(Meter::new),
            settings,
            looks: Arc::new(Semaphore::new(N_LOOKS)),
            failures: RateLimiter::direct(Quota::per_minute(FAILURES_NOTED)),
        }
    }

    /// Whether nobody needs a key.
    pub fn is_open(&self) -> bool {
        self.settings.is_open
    }

    /// Whether cookies go over HTTPS alone.
    pub fn behind_tls(&self) -> bool {
        self.settings.behind_tls
    }

    /// Runs `job` with the keys, away from the threads that serve connections.
    pub(in crate::http) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&AccessStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        let place = Arc::clone(&self.looks)
            .acquire_owned()
            .await
            .expect("the places are never closed");
        let store = Arc::clone(&self.store);
        let work = task::spawn_blocking(move || {
            let _place = place;
            job(&store)
        });
        let done = work
            .await
            .map_err(|error| Problem::hidden(ProblemKind::Internal, &error))?;
        done.map_err(Problem::from)
    }

    /// The keys, for jobs that run elsewhere.
    pub(in crate::http) fn store(&self) -> Arc<AccessStore> {
        Arc::clone(&self.store)
    }

    /// Who shows this.
    pub(super) async fn holder(
        &self,
        presented: &Presented,
    ) -> Result<Result<Holder, KeyRefusal>, Problem> {
        let now = Timestamp::now();
        match presented {
            Presented::Nothing => Ok(Err(KeyRefusal::SessionOver)),
            Presented::Key(text) => {
                let text = text.clone();
                let checked = self.run(move |keys| keys.check_key(&text, now)).await?;
                Ok(checked.map(Holder::from))
            }
            Presented::Session(token) => {
                let token = token.clone();
                self.run(move |keys| keys.session(&token, now)).await
            }
        }
    }

    /// Whether another failed sign-in is worth a line: nobody without a key may fill the audit log.
    pub(in crate::http) fn notes_failure(&self) -> bool {
        self.failures.check().is_ok()
    }

    /// Counts a request of the holder's key.
    pub(super) fn check_rate(&self, holder: &Holder) -> Result<(), Problem> {
        match &self.meter {
            Some(meter) => meter.check(holder.key_id.as_ref().map_or("", |id| id.as_str())),
            None => Ok(()),
        }
    }

    /// Notes, in the background, that the holder's key is in use.
    pub(super) fn note_use(&self, holder: &Holder) {
        let now = Timestamp::now();
        let noted = holder.last_used_at.as_deref();
        let noted = noted.and_then(|text| text.parse::<Timestamp>().ok());
        if noted.is_some_and(|at| now.duration_since(at) < NOTED_TO) {
            return;
        }
        let Some(id) = holder.key_id.clone() else {
            return;
        };
        let store = Arc::clone(&self.store);
        task::spawn_blocking(move || {
            if let Err(error) = store.note_use(&id, now) {
                tracing::warn!(%error, key = %id, "the use of a key could not be noted");
            }
        });
    }
}
