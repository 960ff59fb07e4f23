//! One photo of a scan: read, found in the cache or an earlier scan or looked at, and judged for its seller.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::earlier::{EarlierAnswer, EarlierAnswers, Standing};
use super::{ScanOptions, ScanUnit};
use crate::domain::{
    FileDigest, Finding, FindingSource, Keep, Keeping, Listing, PhotoMark, PhotoVerdict, ScanStamp,
    ScannedPhoto, Seller, StageTimings, Work,
};
use crate::embed::EmbedError;
use crate::engine::cases::nearest_other;
use crate::engine::manifest::PhotoPlace;
use crate::engine::seen::sides;
use crate::engine::{Clock, Engine, EngineError, Lessons, PhotoDescription};
use crate::imaging::Picture;
use crate::store::{KnownSighting, NearestOther, NewFinding, NewPhoto};

/// What is said of a photo, whoever sells it.
#[derive(Debug, Clone)]
pub(super) struct Looked {
    pub mark: PhotoMark,
    /// As if nobody was authorised.
    pub findings: Vec<Finding>,
    /// For each of them the best candidate of another brand; none at all where that is not known.
    pub nearest_others: Vec<Option<NearestOther>>,
    pub photo_size: [u32; 2],
}

/// Failures are kept as well: the same bytes fail again.
type Answer = Result<Arc<Looked>, String>;

#[derive(Debug, Clone)]
struct AnswerBytes;

impl Weighter<FileDigest, Answer> for AnswerBytes {
    fn weight(&self, _: &FileDigest, answer: &Answer) -> u64 {
        // Key, counters of the cache, and what is not a finding.
        const EMPTY: usize = 256;
        let bytes = match answer {
            Ok(looked) => looked.findings.iter().map(finding_bytes).sum(),
            Err(reason) => reason.len(),
        };
        (EMPTY + bytes) as u64
    }
}

/// Whether the same photo would fail again, wherever and whenever: what else fails on this side says nothing of it.
fn is_the_photos(error: &EngineError) -> bool {
    // Numbers that are no embedding come of the picture alone.
    let has_no_vector = matches!(error, EngineError::Embed(EmbedError::Embedding(_)));
    error.is_bad_input() || has_no_vector
}

/// Whether a file may well be read another time: the machine is short of something, or its store is gone for now.
fn will_pass(cause: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(
        cause.kind(),
        StaleNetworkFileHandle
            | TimedOut
            | NetworkDown
            | NetworkUnreachable
            | HostUnreachable
            | NotConnected
            | ConnectionReset
            | OutOfMemory
    ) || cause.raw_os_error().is_some_and(are_no_files_left)
}

/// Whether the process or the system has as many files open as it may.
fn are_no_files_left(code: i32) -> bool {
    cfg!(unix) && (code == 23 || code == 24)
}

fn finding_bytes(finding: &Finding) -> usize {
    let reasons: usize = finding.reasons.iter().map(|r| r.len() + 24).sum();
    size_of::<Finding>() + finding.asset.len() + finding.brand.len() + reasons
}

/// The registry's revision that photos of scans are said to have been compared with: look-back, which
/// brings what was found to listings that were screened, has nothing to do with them. (A scan is repeated.)
const NEVER_LOOK_BACK: u64 = i64::MAX as u64;

/// Photos whose descriptions are kept on in one write.
const KEPT_ON_TOGETHER: usize = 1_000;

/// What is said of an address when nobody fetches it.
const NOT_FETCHED: &str = "http: and https: addresses are fetched only with --fetch-urls, those in stores only with --fetch-store";

/// Looks at photos; shared by all threads of a scan.
pub(super) struct Looker<'a> {
    engine: &'a Engine,
    stamp: Arc<ScanStamp>,
    cache: Option<Cache<FileDigest, Answer, AnswerBytes>>,
    earlier: Option<(&'a dyn EarlierAnswers, Standing)>,
    keep_days: Option<u32>,
    queue_days: Option<u32>,
    /// By whom it is judged.
    judge: Option<FileDigest>,
    /// Held while a photo is kept.
    keeping: Mutex<()>,
    /// Photos answered without a look, whose descriptions are to be kept on.
    to_keep_on: Mutex<Vec<FileDigest>>,
    /// Those of the beginning, whatever is decided meanwhile.
    lessons: Lessons,
}

impl<'a> Looker<'a> {
    pub(super) fn new(engine: &'a Engine, options: &ScanOptions<'a>) -> Result<Self, EngineError> {
        let cache = (options.cache_bytes > 0).then(|| {
            let n_expected = (options.cache_bytes / 1024) as usize;
            Cache::with_weighter(n_expected, options.cache_bytes, AnswerBytes)
        });
        let earlier = options.earlier.map(|answers| {
            let standing = Standing::new(engine, answers)?;
            Ok::<_, EngineError>((answers, standing))
        });
        Ok(Self {
            engine,
            stamp: Arc::new(engine.scan_stamp()?),
            cache,
            earlier: earlier.transpose()?,
            keep_days: options.keep_days,
            queue_days: options.queue_days,
            judge: engine.judge_digest()?,
            keeping: Mutex::default(),
            to_keep_on: Mutex::default(),
            lessons: engine.lessons(),
        })
    }

    /// The answer for one photo.
    ///
    /// # Errors
    /// What fails on this side.
    pub(super) fn look_at(&self, unit: ScanUnit) -> Result<ScannedPhoto, EngineError> {
        let mut clock = Clock::start();
        let bytes = match unit.place {
            PhotoPlace::File(path) => match self.engine.try_to_read(&path) {
                Err(cause) if will_pass(&cause) => {
                    return Err(EngineError::Unreadable { path, cause });
                }
                read => read.map_err(|cause| cause.to_string()),
            },
            PhotoPlace::Held(bytes) => Ok(bytes),
            PhotoPlace::Address(_) => Err(NOT_FETCHED.to_owned()),
            PhotoPlace::Nowhere(reason) => Err(reason),
        };
        let sha256 = bytes.as_ref().ok().map(|bytes| FileDigest::of(bytes));
        let read_ms = clock.lap_ms();
        let mut timings_ms = StageTimings::default();
        let (answer, work) = match bytes {
            Ok(bytes) => {
                let sha256 = sha256.expect("of bytes that were read");
                self.answer(&bytes, sha256, &mut timings_ms)?
            }
            Err(reason) => (Err(reason), Work::Computed),
        };
        let looked = answer.as_ref().ok().map(Arc::clone);
        let scanned = ScannedPhoto {
            work,
            read_ms,
            ..self.said((unit.listing, unit.photo), sha256, answer, timings_ms)
        };
        self.queue(&scanned, sha256, looked.as_deref())?;
        Ok(scanned)
    }

    /// The answer for a photo whose bytes are known to be those of `sha256`; `None` when it is not at hand.
    ///
    /// # Errors
    /// What fails on this side.
    pub(super) fn look_again(
        &self,
        unit: &ScanUnit,
        sha256: FileDigest,
    ) -> Result<Option<ScannedPhoto>, EngineError> {
        let Some(answer) = self.cache.as_ref().and_then(|cache| cache.get(&sha256)) else {
            return Ok(None);
        };
        let name = (Arc::clone(&unit.listing), unit.photo.clone());
        let looked = answer.as_ref().ok().map(Arc::clone);
        let scanned = ScannedPhoto {
            work: Work::Cached,
            ..self.said(name, Some(sha256), answer, StageTimings::default())
        };
        self.queue(&scanned, Some(sha256), looked.as_deref())?;
        Ok(Some(scanned))
    }

    /// An answer that says what went wrong.
    pub(super) fn failed(&self, name: (Arc<Listing>, String), reason: &str) -> ScannedPhoto {
        self.said(name, None, Err(reason.to_owned()), StageTimings::default())
    }

    /// Puts what was found into the review queue, where that is asked for. The same again renews what nobody has
    /// decided on.
    fn queue(
        &self,
        scanned: &ScannedPhoto,
        sha256: Option<FileDigest>,
        looked: Option<&Looked>,
    ) -> Result<(), EngineError> {
        let (Some(days), Some(photo), Some(looked)) = (self.queue_days, sha256, looked) else {
            return Ok(());
        };
        let found = scanned.outcome.as_ref().map_or(&[][..], |v| &v.findings);
        if found.is_empty() {
            return Ok(());
        }
        let others = looked.nearest_others.iter().cloned();
        let others = others.chain(std::iter::repeat(None));
        let findings = found.iter().zip(others);
        let is_known = self.engine.store.record_known(&KnownSighting {
            photo,
            compared_revision: self.stamp.registry_revision,
            name: &scanned.photo,
            listing: &scanned.listing,
            findings: findings
                .map(|(finding, nearest_other)| NewFinding {
                    finding: finding.clone(),
                    nearest_other,
                    model: self.stamp.model.clone(),
                    judge: self.judge,
                })
                .collect(),
            source: FindingSource::Scan,
            keeping: Keeping {
                keep: Keep::Photos,
                days,
            },
        })?;
        if !is_known {
            tracing::warn!(%photo, "it was forgotten while the scan was under way: its findings are not queued");
        }
        Ok(())
    }

    /// An answer for the listing that asked, computed in no time.
    fn said(
        &self,
        (listing, photo): (Arc<Listing>, String),
        sha256: Option<FileDigest>,
        answer: Answer,
        timings_ms: StageTimings,
    ) -> ScannedPhoto {
        let mark = answer.as_ref().ok().map(|looked| looked.mark);
        let seller = listing.seller.as_ref();
        let outcome = answer.map(|looked| self.verdict(&looked, seller, timings_ms));
        ScannedPhoto {
            listing,
            photo,
            sha256: sha256.map(|digest| digest.to_hex()),
            mark,
            work: Work::Computed,
            read_ms: 0.0,
            stamp: Arc::clone(&self.stamp),
            outcome,
        }
    }

    fn answer(
        &self,
        bytes: &[u8],
        sha256: FileDigest,
        timings_ms: &mut StageTimings,
    ) -> Result<(Answer, Work), EngineError> {
        let Some(cache) = &self.cache else {
            return self.earlier_or_computed(bytes, sha256, timings_ms);
        };
        // Whoever comes second while the first is still looking waits for the first.
        match cache.get_value_or_guard(&sha256, None) {
            quick_cache::sync::GuardResult::Value(answer) => Ok((answer, Work::Cached)),
            quick_cache::sync::GuardResult::Guard(place) => {
                let (answer, work) = self.earlier_or_computed(bytes, sha256, timings_ms)?;
                // The cache may have been emptied meanwhile; nothing is lost.
                let _ = place.insert(answer.clone());
                Ok((answer, work))
            }
            quick_cache::sync::GuardResult::Timeout => {
                self.earlier_or_computed(bytes, sha256, timings_ms)
            }
        }
    }

    fn earlier_or_computed(
        &self,
        bytes: &[u8],
        sha256: FileDigest,
        timings_ms: &mut StageTimings,
    ) -> Result<(Answer, Work), EngineError> {
        if let Some((answers, standing)) = &self.earlier {
            let started = Instant::now();
            let earlier = answers
                .answer(&sha256)
                .filter(|answer| standing.holds(self.engine, &sha256, answer));
            let earlier = match earlier {
                Some(answer) if self.is_queued_without(&answer, &sha256)? => None,
                earlier => earlier,
            };
            timings_ms.find_candidates += started.elapsed().as_secs_f64() * 1e3;
            if let Some(answer) = earlier {
                self.keep_on(sha256)?;
                let looked = Looked {
                    mark: answer.mark,
                    findings: answer.findings,
                    nearest_others: Vec::new(),
                    photo_size: answer.photo_size,
                };
                return Ok((Ok(Arc::new(looked)), Work::Earlier));
            }
        }
        let answer = match self.compute(bytes, sha256, timings_ms) {
            Ok(looked) => Ok(Arc::new(looked)),
            Err(error) if is_the_photos(&error) => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        Ok((answer, Work::Computed))
    }

    /// Whether findings are to be queued whose photo is not at hand: it must be looked at for that.
    fn is_queued_without(
        &self,
        answer: &EarlierAnswer,
        photo: &FileDigest,
    ) -> Result<bool, EngineError> {
        let is_queued = self.queue_days.is_some() && !answer.findings.is_empty();
        Ok(is_queued && !self.engine.store.has_photo_on_file(photo)?)
    }

    /// Notes that a photo's description is needed on; they are renewed many at a time.
    fn keep_on(&self, photo: FileDigest) -> Result<(), EngineError> {
        if self.keep_days.is_none() {
            return Ok(());
        }
        let mut noted = self.noted();
        noted.push(photo);
        if noted.len() < KEPT_ON_TOGETHER {
            return Ok(());
        }
        let photos = std::mem::take(&mut *noted);
        drop(noted);
        self.renew(&photos)
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Vec<FileDigest>> {
        self.to_keep_on
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn renew(&self, photos: &[FileDigest]) -> Result<(), EngineError> {
        let Some(days) = self.keep_days else {
            return Ok(());
        };
        Ok(self.engine.store.keep_photos_on(photos, days)?)
    }

    /// What is to be done once all photos are: keeps on what is still noted, and forgets what was kept long enough.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) fn finish(&self) -> Result<(), EngineError> {
        if self.keep_days.is_some() {
            self.renew(&std::mem::take(&mut *self.noted()))?;
            self.engine.store.forget_expired()?;
        }
        Ok(())
    }

    fn compute(
        &self,
        bytes: &[u8],
        sha256: FileDigest,
        timings_ms: &mut StageTimings,
    ) -> Result<Looked, EngineError> {
        let engine = self.engine;
        let (photo, description, verified, timings) = engine.measure_as_of_now(bytes, |_| {})?;
        *timings_ms = timings;
        let mut clock = Clock::start();
        let judgement = engine.judge_in(&photo, verified, None, &self.lessons);
        let findings = judgement.reported(&engine.settings.policy);
        let hash = description.upright_hash(&photo.pixels);
        timings_ms.judge = clock.lap_ms();
        self.keep(bytes, sha256, (&photo, &description), !findings.is_empty())?;
        Ok(Looked {
            mark: PhotoMark {
                hash: hash.as_bytes().to_owned(),
                sides: sides(&description.whole),
            },
            nearest_others: findings
                .iter()
                .map(|finding| nearest_other(&judgement, &finding.brand))
                .collect(),
            findings,
            photo_size: photo.original_size,
        })
    }

    /// Keeps of a photo what is asked for: what it was described as, and the file itself where there is something
    /// to review.
    fn keep(
        &self,
        bytes: &[u8],
        sha256: FileDigest,
        (photo, description): (&Picture, &PhotoDescription),
        has_findings: bool,
    ) -> Result<(), EngineError> {
        let queue_days = self.queue_days.filter(|_| has_findings);
        let Some(days) = self.keep_days.max(queue_days) else {
            return Ok(());
        };
        // One after the other: of two nearly equal photos the second is to find the first.
        let _keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        let new = self
            .engine
            .new_photo(sha256, photo, description, NEVER_LOOK_BACK)?;
        let new = NewPhoto {
            file: queue_days.map(|_| bytes.to_vec()),
            ..new
        };
        Ok(self.engine.store.keep_photo(&new, days)?)
    }

    fn verdict(
        &self,
        looked: &Looked,
        seller: Option<&Seller>,
        timings_ms: StageTimings,
    ) -> PhotoVerdict {
        let registry = self.engine.registry();
        let mut findings = looked.findings.clone();
        for finding in &mut findings {
            let asset = registry.active_asset(finding.asset_id);
            finding.authorised_seller = asset.is_some_and(|asset| asset.draft.authorises(seller));
            // Not every form of earlier results holds it.
            finding.promise = self.lessons.of(&finding.brand).promise;
        }
        PhotoVerdict {
            verdict: self.engine.settings.policy.verdict(&findings),
            findings,
            photo_size: looked.photo_size,
            timings_ms,
        }
    }
}
