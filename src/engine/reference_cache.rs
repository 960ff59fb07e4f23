//! Cells, local features, words and pixels of references, read from the store when a candidate needs them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use image::RgbImage;

use super::describe::versions;
use super::registration::{FEATURES_KIND, WORDS_KIND};
use super::word_marks::as_read;
use super::{Engine, EngineError};
use crate::domain::{AssetKind, PictureId, ReferenceCells};
use crate::imaging;
use crate::matching::features::{FeatureLimits, LocalFeatures};
use crate::matching::words::PictureWords;
use crate::ocr::Word;
use crate::store::{Features, StoreError};

/// What a closer look at a reference needs, in pixels of the trimmed picture.
pub struct ReferenceDetail {
    /// Local features.
    pub features: LocalFeatures,
    /// The picture without its even border.
    pub pixels: RgbImage,
    /// Words on it; none when the stage is off.
    pub words: PictureWords,
}

/// References kept: about 400 kB each.
const MAX_KEPT: usize = 1024;
/// Versions of references whose cells are kept: about 50 kB each.
const MAX_KEPT_CELLS: usize = 2048;

/// References that were needed lately. A removed reference may linger here unseen: ids are never
/// given out twice.
#[derive(Default)]
pub(super) struct ReferenceCache {
    details: Mutex<HashMap<PictureId, Arc<ReferenceDetail>>>,
    cells: Mutex<HashMap<(PictureId, String), Arc<ReferenceCells>>>,
}

fn kept<K: Eq + Hash, V>(map: &Mutex<HashMap<K, Arc<V>>>, key: &K) -> Option<Arc<V>> {
    let map = map.lock().unwrap_or_else(PoisonError::into_inner);
    map.get(key).cloned()
}

fn keep<K: Eq + Hash, V>(map: &Mutex<HashMap<K, Arc<V>>>, most: usize, key: K, value: &Arc<V>) {
    let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
    // Starting over is simpler than keeping an order, and rare.
    if map.len() >= most {
        map.clear();
    }
    map.insert(key, Arc::clone(value));
}

impl Engine {
    /// Features and pixels of a reference; `None` when it was removed meanwhile.
    ///
    /// # Errors
    /// [`EngineError`] when the store fails or the picture cannot be decoded any more.
    pub fn reference_detail(
        &self,
        id: PictureId,
    ) -> Result<Option<Arc<ReferenceDetail>>, EngineError> {
        if let Some(detail) = kept(&self.references.details, &id) {
            return Ok(Some(detail));
        }
        let Some(bytes) = self.reference_bytes(id)? else {
            return Ok(None);
        };
        let picture = imaging::decode_reference(&bytes, &self.limits)?.on_natural_ground();
        let pixels = imaging::trim(&picture.pixels);
        let stored = self.store.features(id)?;
        let features = stored
            .iter()
            .find(|f| f.kind == FEATURES_KIND)
            .and_then(|f| LocalFeatures::from_bytes(&f.bytes).ok());
        let features = features.unwrap_or_else(|| {
            LocalFeatures::extract(
                &image::imageops::grayscale(&pixels),
                &FeatureLimits::REFERENCE,
            )
        });
        let words = self.words_on(&pixels, &stored)?;
        let detail = Arc::new(ReferenceDetail {
            features,
            pixels,
            words,
        });
        keep(&self.references.details, MAX_KEPT, id, &detail);
        Ok(Some(detail))
    }

    /// The file of a reference; `None` when it was removed meanwhile. What cannot be read is no such thing:
    /// without it a finding would only look weaker.
    fn reference_bytes(&self, id: PictureId) -> Result<Option<Vec<u8>>, EngineError> {
        match self.store.picture_bytes(id) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::NoSuchPicture { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn words_on(
        &self,
        pixels: &RgbImage,
        stored: &[Features],
    ) -> Result<PictureWords, EngineError> {
        let stored = stored.iter().find(|f| f.kind == WORDS_KIND);
        let words: Option<Vec<Word>> =
            match stored.and_then(|f| serde_json::from_slice(&f.bytes).ok()) {
                Some(words) if self.settings.stages.words => Some(words),
                // Registered while the stage was off, or damaged.
                _ => self.read_words(pixels)?,
            };
        Ok(PictureWords::of(&as_read(words.iter().flatten())))
    }

    /// The cells of a reference in one of its versions; `None` when it was removed meanwhile, or the
    /// network gives none.
    ///
    /// # Errors
    /// [`EngineError`] when the store or the network fails or the picture cannot be decoded any more.
    pub fn reference_cells(
        &self,
        id: PictureId,
        version: &str,
    ) -> Result<Option<Arc<ReferenceCells>>, EngineError> {
        let key = (id, version.to_owned());
        if let Some(cells) = kept(&self.references.cells, &key) {
            return Ok(Some(cells));
        }
        let kind = self.cells_kind();
        let mut wanted = None;
        // All versions at once: the next window may come closest to another one.
        for f in self.store.features(id)? {
            if f.kind != kind {
                continue;
            }
            let Ok(cells) = ReferenceCells::from_bytes(&f.bytes).map(Arc::new) else {
                continue;
            };
            if f.variant == version {
                wanted = Some(Arc::clone(&cells));
            }
            self.keep_cells((id, f.variant), &cells);
        }
        if wanted.is_some() {
            return Ok(wanted);
        }
        // Damaged, or never there.
        let Some(cells) = self.cells_anew(id, version)?.map(Arc::new) else {
            return Ok(None);
        };
        self.keep_cells(key, &cells);
        Ok(Some(cells))
    }

    fn keep_cells(&self, key: (PictureId, String), cells: &Arc<ReferenceCells>) {
        keep(&self.references.cells, MAX_KEPT_CELLS, key, cells);
    }

    fn cells_anew(
        &self,
        id: PictureId,
        version: &str,
    ) -> Result<Option<ReferenceCells>, EngineError> {
        let Some(bytes) = self.reference_bytes(id)? else {
            return Ok(None);
        };
        let picture = imaging::decode_reference(&bytes, &self.limits)?.on_natural_ground();
        // Every version that any kind has: which one is wanted is known already.
        let versions = versions(&picture.pixels, AssetKind::Logo);
        match versions.iter().find(|(name, _)| *name == version) {
            Some((_, pixels)) => Ok(self.embedder.embed_reference(pixels)?.cells),
            None => Ok(None),
        }
    }
}
