//! One photo of a scan: read, found in the cache or an earlier scan or looked at, and judged for its seller.

use std::sync::Arc;
use std::time::Instant;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::earlier::{EarlierAnswers, Standing};
use super::{ScanOptions, ScanUnit};
use crate::domain::{
    FileDigest, Finding, Listing, PhotoMark, PhotoVerdict, ScanStamp, ScannedPhoto, Seller,
    StageTimings, Work,
};
use crate::embed::EmbedError;
use crate::engine::manifest::PhotoPlace;
use crate::engine::seen::sides;
use crate::engine::{Clock, Engine, EngineError, Lessons};

/// What is said of a photo, whoever sells it.
#[derive(Debug, Clone)]
pub(super) struct Looked {
    pub mark: PhotoMark,
    /// As if nobody was authorised.
    pub findings: Vec<Finding>,
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

fn finding_bytes(finding: &Finding) -> usize {
    let reasons: usize = finding.reasons.iter().map(|r| r.len() + 24).sum();
    size_of::<Finding>() + finding.asset.len() + finding.brand.len() + reasons
}

/// The registry's revision that photos of scans are said to have been compared with: look-back, which
/// brings what was found to listings that were screened, has nothing to do with them.
const NEVER_LOOK_BACK: u64 = i64::MAX as u64;

/// What is said of an address when nobody fetches it.
const NOT_FETCHED: &str = "http: and https: addresses are fetched only with --fetch-urls, those in stores only with --fetch-store";

/// Looks at photos; shared by all threads of a scan.
pub(super) struct Looker<'a> {
    engine: &'a Engine,
    stamp: Arc<ScanStamp>,
    cache: Option<Cache<FileDigest, Answer, AnswerBytes>>,
    earlier: Option<(&'a dyn EarlierAnswers, Standing)>,
    keep_days: Option<u32>,
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
            PhotoPlace::File(path) => self.engine.read_file(&path),
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
        Ok(ScannedPhoto {
            work,
            read_ms,
            ..self.said((unit.listing, unit.photo), sha256, answer, timings_ms)
        })
    }

    /// The answer for a photo whose bytes are known to be those of `sha256`; `None` when it is not at hand.
    pub(super) fn look_again(&self, unit: &ScanUnit, sha256: FileDigest) -> Option<ScannedPhoto> {
        let answer = self.cache.as_ref()?.get(&sha256)?;
        let name = (Arc::clone(&unit.listing), unit.photo.clone());
        Some(ScannedPhoto {
            work: Work::Cached,
            ..self.said(name, Some(sha256), answer, StageTimings::default())
        })
    }

    /// An answer that says what went wrong.
    pub(super) fn failed(&self, name: (Arc<Listing>, String), reason: &str) -> ScannedPhoto {
        self.said(name, None, Err(reason.to_owned()), StageTimings::default())
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
            timings_ms.find_candidates += started.elapsed().as_secs_f64() * 1e3;
            if let Some(answer) = earlier {
                let looked = Looked {
                    mark: answer.mark,
                    findings: answer.findings,
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
        if let Some(days) = self.keep_days {
            let new = engine.new_photo(sha256, &photo, &description, NEVER_LOOK_BACK)?;
            engine.store.keep_photo(&new, days)?;
        }
        Ok(Looked {
            mark: PhotoMark {
                hash: hash.as_bytes().to_owned(),
                sides: sides(&description.whole),
            },
            findings,
            photo_size: photo.original_size,
        })
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
