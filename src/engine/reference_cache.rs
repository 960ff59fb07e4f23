//! Local features and pixels of references, read from the store when a candidate needs them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use image::RgbImage;

use super::registration::FEATURES_KIND;
use super::{Engine, EngineError};
use crate::domain::PictureId;
use crate::imaging;
use crate::matching::features::{FeatureLimits, LocalFeatures};

/// What a closer look at a reference needs; both in pixels of the trimmed picture.
pub struct ReferenceDetail {
    /// Local features.
    pub features: LocalFeatures,
    /// The picture without its even border.
    pub pixels: RgbImage,
}

/// References kept: about 400 kB each.
const MAX_KEPT: usize = 1024;

/// References that were needed lately. A removed reference may linger here unseen: ids are never
/// given out twice.
#[derive(Default)]
pub(super) struct ReferenceCache(Mutex<HashMap<PictureId, Arc<ReferenceDetail>>>);

impl ReferenceCache {
    fn get(&self, id: PictureId) -> Option<Arc<ReferenceDetail>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }

    fn put(&self, id: PictureId, detail: Arc<ReferenceDetail>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Starting over is simpler than keeping an order, and rare.
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(id, detail);
    }
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
        if let Some(detail) = self.references.get(id) {
            return Ok(Some(detail));
        }
        let Ok(bytes) = self.store.picture_bytes(id) else {
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
        let detail = Arc::new(ReferenceDetail { features, pixels });
        self.references.put(id, Arc::clone(&detail));
        Ok(Some(detail))
    }
}
