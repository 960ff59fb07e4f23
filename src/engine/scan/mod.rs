//! Many listings: all cores busy, bounded memory, one answer for every photo in the order given.
//!
//! One thread reads the listings, a thread a core looks at photos, and whoever called takes the answers.
//! Between them are queues of fixed length, so that the slowest sets the pace and nothing piles up.

mod earlier;
mod held;
mod known;
mod photo;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use self::held::{HeldBytes, Permit};
use self::known::{KnownAddresses, Version};
use self::photo::Looker;
use super::manifest::{Listings, PhotoPlace};
use super::{Engine, EngineError};
use crate::domain::{FileDigest, Listing, ScanStamp, ScannedPhoto, Shard};
use crate::fetch::{BlockingFetcher, Coming, FetchError, Fetched};

pub use earlier::{EarlierAnswer, EarlierAnswers};

/// Photos under way for each core: a large photo must not hold up the cores that are done with what
/// came after it.
const PHOTOS_PER_CORE: usize = 32;
/// Bytes of photos under way that were read ahead, as those of archives are.
const MAX_HELD_BYTES: usize = 256 << 20;
/// Bytes of answers that are kept in case the same photo comes again; about 100,000 of them.
pub const CACHE_BYTES: u64 = 128 << 20;

/// How long a thread without work waits before it looks whether the scan is over.
const PATIENCE: Duration = Duration::from_millis(100);

/// How a scan is to be done.
pub struct ScanOptions<'a> {
    /// Bytes of answers that are kept in case the same photo comes again; 0: none.
    pub cache_bytes: u64,
    /// Answers of an earlier scan, to be used where they still hold.
    pub earlier: Option<&'a dyn EarlierAnswers>,
    /// Days for which descriptions of photos are kept, about 300 kB each (600 of those of 900 pixels and
    /// more), so that a later scan can tell which of these answers still hold when more is registered;
    /// `None`: none are.
    pub keep_days: Option<u32>,
    /// Days for which findings are kept in the review queue with their listings and photos; `None`: none are.
    pub queue_days: Option<u32>,
    /// Fetches photos given by web addresses, or in stores; `None`: they cannot be read.
    pub fetcher: Option<Arc<BlockingFetcher>>,
}

impl Default for ScanOptions<'_> {
    fn default() -> Self {
        Self {
            cache_bytes: CACHE_BYTES,
            earlier: None,
            keep_days: None,
            queue_days: None,
            fetcher: None,
        }
    }
}

/// One photo of one listing, or a line that could not be read in place of one.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanUnit {
    /// The offer it belongs to; of a bad line only the place, as its id.
    pub listing: Arc<Listing>,
    /// The photo's location as the manifest gave it.
    pub photo: String,
    /// Where it is.
    pub place: PhotoPlace,
    /// Whether the source could not be read on there, so that the scan cannot come to its end.
    pub breaks_off: bool,
}

impl ScanUnit {
    /// Why the source could not be read on there; `None` where it could.
    pub fn broken_off(&self) -> Option<EngineError> {
        let (true, PhotoPlace::Nowhere(reason)) = (self.breaks_off, &self.place) else {
            return None;
        };
        let place = &self.listing.listing_id;
        // Some reasons begin as the error will.
        let rest = reason.strip_prefix(&format!("reading {place}: "));
        Some(broken_off(place, rest.unwrap_or(reason)))
    }
}

/// The photos of `listings`, of those that are in `shard`. A bad line is one of them, too, in the shard of
/// its place; where the source breaks off is in every shard.
pub fn scan_units(
    listings: Listings,
    shard: Option<Shard>,
) -> impl Iterator<Item = ScanUnit> + Send + use<> {
    listings
        .map(|listing| match listing {
            Ok((listing, places)) => (listing, places, false),
            Err(error) => {
                let listing = Listing {
                    listing_id: error.place(),
                    photos: vec![String::new()],
                    ..Listing::default()
                };
                let places = vec![PhotoPlace::Nowhere(error.reason())];
                (listing, places, error.ends_the_source())
            }
        })
        .filter(move |(listing, _, breaks_off)| {
            *breaks_off || shard.is_none_or(|shard| shard.holds(&listing.listing_id))
        })
        .flat_map(|(listing, places, breaks_off)| {
            let listing = Arc::new(listing);
            places
                .into_iter()
                .enumerate()
                .map(move |(idx, place)| ScanUnit {
                    photo: listing.photos[idx].clone(),
                    listing: Arc::clone(&listing),
                    place,
                    breaks_off,
                })
        })
}

/// What is said of a photo, or why the scan ends there.
type Answered = Result<ScannedPhoto, EngineError>;

/// What will be said of the next photo, or why none comes.
type Awaited = Result<Receiver<Answered>, EngineError>;

/// A photo to look at, and where the answer goes.
struct Job {
    unit: ScanUnit,
    /// Its bytes, when they come from elsewhere.
    coming: Option<Elsewhere>,
    answer: SyncSender<Answered>,
    permit: Permit,
}

/// What is on its way from an address.
struct Elsewhere {
    coming: Coming,
    /// What was there before: it does not come again when it is still there.
    known: Option<FileDigest>,
}

/// Fetches photos, and remembers what was where.
struct Getter {
    fetcher: Arc<BlockingFetcher>,
    /// `None` where no answers are kept: without them all bytes are needed.
    known: Option<KnownAddresses>,
}

impl Engine {
    /// With what answers are made now.
    ///
    /// # Errors
    /// Those of the database.
    pub fn scan_stamp(&self) -> Result<ScanStamp, EngineError> {
        // One after the other: who reads twice at once may wait for a writer between, and that for the first.
        let taught = self.lessons().digest();
        Ok(ScanStamp {
            model: self.model().clone(),
            registry: self.store().registry_id()?,
            registry_revision: self.registry().revision(),
            taught,
        })
    }

    /// Looks at all photos and calls `take` for each, in their order, as soon as it and those before it
    /// are done. All are compared with the registry as it is now, whatever is registered meanwhile. A
    /// photo that cannot be read is an answer like any other. `take` may end the scan with an error of
    /// its own.
    ///
    /// # Errors
    /// Those of `take`; [`EngineError::Unreadable`] where the source breaks off; and what fails on this side, which
    /// is no answer: another time there would be one. Answers before that are taken.
    pub fn scan<E: From<EngineError>>(
        &self,
        units: impl Iterator<Item = ScanUnit> + Send + 'static,
        options: &ScanOptions<'_>,
        mut take: impl FnMut(ScannedPhoto) -> Result<(), E>,
    ) -> Result<(), E> {
        let looker = Looker::new(self, options)?;
        let window = self.settings.n_threads * PHOTOS_PER_CORE;
        let (to_lookers, jobs) = sync_channel::<Job>(window);
        let (to_taker, answers) = sync_channel::<Awaited>(window);
        // Not joined: whoever writes to standard input may never write again, and an error of `take` must
        // end the scan all the same.
        let getter = options.fetcher.clone().map(|fetcher| {
            let known = (options.cache_bytes > 0).then(KnownAddresses::new);
            Arc::new(Getter { fetcher, known })
        });
        let reads_with = getter.clone();
        thread::spawn(move || {
            let reading =
                AssertUnwindSafe(|| read(units, reads_with.as_deref(), &to_lookers, &to_taker));
            let ended = catch_unwind(reading)
                .unwrap_or_else(|panic| Err(broken_off("the source", &panic_words(&*panic))));
            if let Err(error) = ended {
                // Nobody waits for it when the scan has ended before its time.
                let _ = to_taker.send(Err(error));
            }
        });
        let getter = getter.as_deref();
        let (jobs, is_over) = (Mutex::new(jobs), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..self.settings.n_threads {
                scope.spawn(|| look(&looker, getter, &jobs, &is_over));
            }
            let taken = take_all(&answers, &mut take);
            is_over.store(true, Ordering::Relaxed);
            // Lets the reader go when it is waiting for room.
            drop(answers);
            taken
        })?;
        Ok(looker.finish()?)
    }
}

fn read(
    units: impl Iterator<Item = ScanUnit>,
    getter: Option<&Getter>,
    to_lookers: &SyncSender<Job>,
    to_taker: &SyncSender<Awaited>,
) -> Result<(), EngineError> {
    let held = HeldBytes::new(MAX_HELD_BYTES);
    for unit in units {
        if let Some(error) = unit.broken_off() {
            return Err(error);
        }
        let address = match (&unit.place, getter) {
            (PhotoPlace::Address(address), Some(getter)) => Some((address, getter)),
            _ => None,
        };
        // How many bytes will come is not known before they are there; in the order of the source, lest
        // those that come too early take the room of the one that is waited for.
        let permit = held.wait_for(match address {
            Some((_, getter)) => getter.fetcher.max_bytes(),
            None => unit.place.held_bytes(),
        });
        let coming = address.map(|(address, getter)| getter.start(address));
        let (answer, answered) = sync_channel(1);
        let job = Job {
            unit,
            coming,
            answer,
            permit,
        };
        // Both ends are gone when the scan has ended before its time.
        if to_taker.send(Ok(answered)).is_err() || to_lookers.send(job).is_err() {
            break;
        }
    }
    Ok(())
}

fn broken_off(place: &str, reason: &str) -> EngineError {
    EngineError::Unreadable {
        path: place.into(),
        cause: io::Error::other(reason.to_owned()),
    }
}

fn look(
    looker: &Looker<'_>,
    getter: Option<&Getter>,
    jobs: &Mutex<Receiver<Job>>,
    is_over: &AtomicBool,
) {
    loop {
        let job = {
            let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
            jobs.recv_timeout(PATIENCE)
        };
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let Job {
            mut unit,
            coming,
            answer,
            mut permit,
        } = match job {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let name = (Arc::clone(&unit.listing), unit.photo.clone());
        // A photo that trips over a fault of the program costs its own place, never the scan.
        let looked = catch_unwind(AssertUnwindSafe(|| {
            if let (Some(elsewhere), Some(getter)) = (coming, getter) {
                match getter.arrived(&mut unit, &elsewhere, looker)? {
                    Some(scanned) => return Ok(scanned),
                    None => permit.shrink(unit.place.held_bytes()),
                }
            }
            looker.look_at(unit)
        }));
        let answered =
            looked.unwrap_or_else(|panic| Ok(looker.failed(name, &panic_words(&*panic))));
        // Nobody waits for it when the scan has ended before its time.
        let _ = answer.send(answered);
    }
}

impl Getter {
    /// Begins to fetch what is at `address`, unless it is what was there before.
    fn start(&self, address: &str) -> Elsewhere {
        let version = self.known.as_ref().and_then(|known| known.version(address));
        let etag = version.as_ref().map(|version| version.etag.as_str());
        Elsewhere {
            coming: self.fetcher.start(address, etag),
            known: version.map(|version| version.sha256),
        }
    }

    /// Waits for bytes that are on their way and puts them in their place; gives the answer instead when they
    /// are not needed for it.
    fn arrived(
        &self,
        unit: &mut ScanUnit,
        elsewhere: &Elsewhere,
        looker: &Looker<'_>,
    ) -> Result<Option<ScannedPhoto>, EngineError> {
        let PhotoPlace::Address(address) = &unit.place else {
            unreachable!("only what has an address is fetched");
        };
        let fetched = match elsewhere.coming.recv() {
            Ok(Ok(Fetched::Unchanged)) => {
                let same = elsewhere.known.expect("asked for with what is known");
                if let Some(scanned) = looker.look_again(unit, same)? {
                    return Ok(Some(scanned));
                }
                // The answer was forgotten meanwhile.
                self.fetcher.get(address)
            }
            Ok(Ok(Fetched::New(object))) => {
                if let (Some(etag), Some(known)) = (object.etag, &self.known) {
                    let sha256 = FileDigest::of(&object.bytes);
                    known.remember(address, Version { etag, sha256 });
                }
                Ok(object.bytes)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let reason = "an internal error: the fetcher is gone".to_owned();
                unit.place = PhotoPlace::Nowhere(reason);
                return Ok(None);
            }
        };
        unit.place = fetched.map_or_else(
            |error: FetchError| PhotoPlace::Nowhere(error.to_string()),
            PhotoPlace::Held,
        );
        Ok(None)
    }
}

fn panic_words(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("an internal error: {}", words.unwrap_or("of unknown kind"))
}

fn take_all<E: From<EngineError>>(
    answers: &Receiver<Awaited>,
    take: &mut impl FnMut(ScannedPhoto) -> Result<(), E>,
) -> Result<(), E> {
    while let Ok(awaited) = answers.recv() {
        let answered = awaited?
            .recv()
            .expect("every job is answered until the scan is over");
        take(answered?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
