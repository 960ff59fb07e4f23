//! The pipeline as public stages, `prepare → embed → find_candidates → verify → judge`, and one call
//! that runs them all; registration; scans.
//!
//! Everything that answers a question about a photo (command line, HTTP, scans, measuring) goes through
//! `measure_as_of_now` and [`Engine::judge`]; there is no second pipeline.

mod background;
mod candidates;
mod cases;
mod describe;
mod error;
mod examination;
mod explain;
pub mod fake;
mod fingerprint;
mod judgement;
mod look_back;
pub mod manifest;
mod reference_cache;
mod registration;
mod registry;
mod rivals;
mod scan;
mod screening;
mod seen;
mod settings;
mod teaching;
mod tending;
mod verify;
mod word_marks;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, RwLock};
use std::time::Instant;
use std::{fs, io};

use crate::domain::{ModelId, PhotoVerdict, Seller, StageTimings};
use crate::embed::{Embedder, OnnxEmbedder};
use crate::imaging::{self, DecodeLimits, Picture};
use crate::matching::judge::Judge;
use crate::ocr::TextReader;
use crate::store::Store;
use reference_cache::ReferenceCache;

pub use background::Background;
pub use candidates::{Candidate, Place};
pub use cases::{CaseFinding, CasePhoto};
pub use describe::PhotoDescription;
pub use error::EngineError;
pub use examination::{Basis, Examination};
pub use explain::{NEAR_HASH, NOTABLE_INLIERS, NOTABLE_WORD};
pub use fingerprint::Fingerprint;
pub use judgement::{Judged, Judgement};
pub use look_back::LookBack;
pub use reference_cache::ReferenceDetail;
pub use registration::{RegistrationFailure, RegistrationReport};
pub use registry::Registry;
pub use scan::{EarlierAnswer, EarlierAnswers, ScanOptions, ScanUnit, scan_units};
pub use screening::{
    ReasonCode, RunningScreening, ScreenPhoto, ScreenReason, ScreenRequest, Screened,
    ScreenedPhoto, Unchecked,
};
pub use settings::{EngineSettings, PipelineStage, Stages};
pub use teaching::{BrandTeaching, Lessons, brand_teaching};
pub use verify::Verified;
pub use word_marks::FoundWord;

/// A data folder opened for matching and registering.
pub struct Engine {
    settings: EngineSettings,
    limits: DecodeLimits,
    // Shared with engines on other registries: networks are large.
    embedder: Arc<dyn Embedder>,
    reader: Option<Arc<TextReader>>,
    background: Arc<Background>,
    judge: Judge,
    store: Store,
    // Replaced field by field under the write lock; matching holds the read lock for one stage only.
    registry: RwLock<Registry>,
    references: ReferenceCache,
    // Photos of screenings that are not done yet.
    screenings: AtomicUsize,
}

impl Engine {
    /// Opens the data folder (made if missing) and loads networks, judge and registry.
    ///
    /// # Errors
    /// [`EngineError::ModelMismatch`] when the registry was made with another network; otherwise
    /// whatever is missing or damaged, with what to do.
    pub fn open(settings: EngineSettings) -> Result<Self, EngineError> {
        let engine = Self::open_unchecked(settings)?;
        engine.check_model()?;
        engine.refresh()?;
        Ok(engine)
    }

    /// Opens the data folder for [`Engine::reembed`], whatever network its registry was made with.
    ///
    /// # Errors
    /// As [`Engine::open`], less the mismatch.
    pub fn open_for_reembedding(settings: EngineSettings) -> Result<Self, EngineError> {
        Self::open_unchecked(settings)
    }

    /// Loads networks and judge, with a registry in memory that is empty and vanishes with the engine;
    /// the data folder is neither read nor made.
    ///
    /// # Errors
    /// Whatever is missing or damaged, with what to do.
    pub fn open_in_memory(settings: EngineSettings) -> Result<Self, EngineError> {
        Self::open_with(settings, |_| Ok(Store::open_in_memory()?))
    }

    fn open_unchecked(settings: EngineSettings) -> Result<Self, EngineError> {
        Self::open_with(settings, |home| Ok(Store::open(home)?))
    }

    fn open_with(
        settings: EngineSettings,
        open_store: impl FnOnce(&Path) -> Result<Store, EngineError>,
    ) -> Result<Self, EngineError> {
        let embedder = Box::new(OnnxEmbedder::open(
            &settings.model_card,
            settings.n_threads,
        )?);
        let reader = if settings.stages.words {
            Some(TextReader::open(
                &settings.models.join("ocr"),
                settings.n_threads,
            )?)
        } else {
            None
        };
        let judge =
            fs::read_to_string(&settings.judge).map_err(|cause| EngineError::Unreadable {
                path: settings.judge.clone(),
                cause,
            })?;
        let background = Background::load(&settings.background_path(), embedder.as_ref())?;
        let store = open_store(&settings.home)?;
        Self::assemble(
            settings,
            embedder,
            reader,
            background,
            Judge::from_json(&judge)?,
            store,
        )
    }

    /// Puts an engine together from its parts; tests pass a fake embedder and a store in memory.
    ///
    /// # Errors
    /// [`EngineError`] when the registry cannot be set up.
    pub fn assemble(
        settings: EngineSettings,
        embedder: Box<dyn Embedder>,
        reader: Option<TextReader>,
        background: Background,
        judge: Judge,
        store: Store,
    ) -> Result<Self, EngineError> {
        let dims = [embedder.window_dim(), embedder.whole_dim()];
        let stamp = index_stamp(&store, embedder.as_ref())?;
        let registry = Registry::new(dims, &settings.index_folder(), &stamp);
        Ok(Self {
            limits: DecodeLimits::default(),
            registry: RwLock::new(registry),
            references: ReferenceCache::default(),
            screenings: AtomicUsize::new(0),
            settings,
            embedder: Arc::from(embedder),
            reader: reader.map(Arc::new),
            background: Arc::new(background),
            judge,
            store,
        })
    }

    /// An engine with the same networks, judge and settings on a registry in memory, empty, that
    /// vanishes with it: what this engine said of a photo can be found again without its registry.
    ///
    /// # Errors
    /// Those of the database.
    pub fn with_empty_registry(&self) -> Result<Self, EngineError> {
        let dims = [self.embedder.window_dim(), self.embedder.whole_dim()];
        let store = Store::open_in_memory()?;
        Ok(self.sharing(self.settings.clone(), Registry::empty(dims), store))
    }

    /// An engine with the same networks, judge and settings on another data folder, made if missing:
    /// what is large is in memory once, however many folders are open.
    ///
    /// # Errors
    /// As [`Engine::open`], for what is in the folder.
    pub fn open_beside(&self, home: PathBuf) -> Result<Self, EngineError> {
        let store = Store::open(&home)?;
        let settings = EngineSettings {
            home,
            ..self.settings.clone()
        };
        let dims = [self.embedder.window_dim(), self.embedder.whole_dim()];
        let stamp = index_stamp(&store, self.embedder.as_ref())?;
        let registry = Registry::new(dims, &settings.index_folder(), &stamp);
        let engine = self.sharing(settings, registry, store);
        engine.check_model()?;
        engine.refresh()?;
        Ok(engine)
    }

    /// An engine with this one's networks and judge.
    fn sharing(&self, settings: EngineSettings, registry: Registry, store: Store) -> Self {
        Self {
            limits: self.limits,
            registry: RwLock::new(registry),
            references: ReferenceCache::default(),
            screenings: AtomicUsize::new(0),
            settings,
            embedder: Arc::clone(&self.embedder),
            reader: self.reader.clone(),
            background: Arc::clone(&self.background),
            judge: self.judge.clone(),
            store,
        }
    }

    /// What the engine was opened with.
    pub fn settings(&self) -> &EngineSettings {
        &self.settings
    }

    /// The network in use.
    pub fn model(&self) -> &ModelId {
        self.embedder.model()
    }

    /// The records.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The bytes of a picture file, unless it is too large to be decoded or no plain file (a pipe may
    /// never end).
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn read_file(&self, path: &Path) -> Result<Vec<u8>, String> {
        self.try_to_read(path).map_err(|cause| cause.to_string())
    }

    fn try_to_read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::other("not a file"));
        }
        let limit = self.limits.max_bytes;
        if metadata.len() > limit as u64 {
            let reason = format!("{} bytes, but at most {limit} are read", metadata.len());
            return Err(io::Error::other(reason));
        }
        fs::read(path)
    }

    /// Stage 1: bytes of a picture file → bounded, upright pixels.
    ///
    /// # Errors
    /// [`EngineError::Imaging`] when the bytes are no picture, or too large a one.
    #[tracing::instrument(level = "info", name = "prepare", skip_all)]
    pub fn prepare(&self, bytes: &[u8]) -> Result<Picture, EngineError> {
        Ok(imaging::decode(bytes, &self.limits)?)
    }

    /// All stages: what does this photo show that is registered? `seller` is checked against the
    /// assets' allow-lists.
    ///
    /// # Errors
    /// [`EngineError`] when the photo cannot be read or a network fails.
    pub fn match_photo(
        &self,
        bytes: &[u8],
        seller: Option<&Seller>,
    ) -> Result<PhotoVerdict, EngineError> {
        let (judgement, photo_size, timings_ms) = self.judge_photo(bytes, seller)?;
        Ok(judgement.verdict(&self.settings.policy, photo_size, timings_ms))
    }

    /// As [`Engine::match_photo`], but keeps every judged candidate, however improbable.
    ///
    /// # Errors
    /// As [`Engine::match_photo`].
    pub fn judge_photo(
        &self,
        bytes: &[u8],
        seller: Option<&Seller>,
    ) -> Result<(Judgement, [u32; 2], StageTimings), EngineError> {
        let (photo, verified, mut timings) = self.measure_photo(bytes)?;
        let mut clock = Clock::start();
        let judgement = self.judge(&photo, verified, seller);
        timings.judge = clock.lap_ms();
        Ok((judgement, photo.original_size, timings))
    }

    /// All stages but the last: every candidate with its measurements.
    ///
    /// # Errors
    /// As [`Engine::match_photo`].
    pub fn measure_photo(
        &self,
        bytes: &[u8],
    ) -> Result<(Picture, Vec<Verified>, StageTimings), EngineError> {
        let (photo, _, verified, timings) = self.describe_and_measure(bytes, |_| {})?;
        Ok((photo, verified, timings))
    }

    /// `enter` is told of each stage before it begins.
    fn describe_and_measure(
        &self,
        bytes: &[u8],
        enter: impl Fn(PipelineStage),
    ) -> Result<(Picture, PhotoDescription, Vec<Verified>, StageTimings), EngineError> {
        self.refresh()?;
        self.measure_as_of_now(bytes, enter)
    }

    /// As [`Engine::describe_and_measure`], but what was registered since the registry was read last is
    /// not looked for.
    fn measure_as_of_now(
        &self,
        bytes: &[u8],
        enter: impl Fn(PipelineStage),
    ) -> Result<(Picture, PhotoDescription, Vec<Verified>, StageTimings), EngineError> {
        let mut clock = Clock::start();
        let mut timings = StageTimings::default();
        enter(PipelineStage::Prepare);
        let photo = self.prepare(bytes)?;
        timings.prepare = clock.lap_ms();
        enter(PipelineStage::Embed);
        let description = self.embed(&photo)?;
        timings.embed = clock.lap_ms();
        enter(PipelineStage::FindCandidates);
        let candidates = self.find_candidates(&photo, &description)?;
        timings.find_candidates = clock.lap_ms();
        enter(PipelineStage::Verify);
        let verified = self.verify(&photo, &description, candidates)?;
        timings.verify = clock.lap_ms();
        note_stages(&timings);
        Ok((photo, description, verified, timings))
    }

    /// Waits until what would take long to build again is built and saved. Nothing is lost without it.
    fn settle_indexes(&self) {
        // Nobody has to wait for the registry meanwhile.
        let indexes = self.registry().indexes();
        for index in indexes {
            index.settle();
        }
    }

    fn registry(&self) -> std::sync::RwLockReadGuard<'_, Registry> {
        // A panic while writing would leave the cache half-updated; the truth is in the store.
        self.registry
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Name of the measurement of how long photos take in each stage, for whoever installs a recorder.
pub const STAGE_SECONDS: &str = "touchstone_stage_seconds";

fn note_stages(timings: &StageTimings) {
    for (stage, ms) in [
        ("prepare", timings.prepare),
        ("embed", timings.embed),
        ("find_candidates", timings.find_candidates),
        ("verify", timings.verify),
    ] {
        metrics::histogram!(STAGE_SECONDS, "stage" => stage).record(ms / 1e3);
    }
}

/// Which registry and network a saved index is of.
fn index_stamp(store: &Store, embedder: &dyn Embedder) -> Result<String, EngineError> {
    Ok(format!("{} {}", store.registry_id()?, embedder.model()))
}

/// Milliseconds between calls.
struct Clock(Instant);

impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn lap_ms(&mut self) -> f64 {
        let elapsed = self.0.elapsed().as_secs_f64() * 1e3;
        self.0 = Instant::now();
        elapsed
    }
}
