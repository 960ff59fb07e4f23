//! Everything registered, in memory: what the store holds in the form that matching needs.
//!
//! A cache: it follows the store by revisions, so that a registration (by this process or another)
//! is searchable at once and a removal takes effect at once, without loading everything again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use jiff::Zoned;
use jiff::civil::Date;

use super::describe::{SPACE_WHOLE, SPACE_WINDOW};
use super::teaching::Lessons;
use super::word_marks::{AssetWords, FoundWord};
use super::{Engine, EngineError};
use crate::domain::{Asset, AssetId, Embedding, PictureId};
use crate::index::{Allow, EntryId, IndexError, IndexState, LiveIndex};
use crate::matching::hash::PictureHash;
use crate::ocr::Word;
use crate::store::{IndexedPicture, RegistryChange};

/// A reference picture as matching needs it.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Database identity.
    pub id: PictureId,
    /// What it shows.
    pub asset_id: AssetId,
    /// Whether it comes from a confirmed finding and not from the brand.
    pub is_exemplar: bool,
    /// Its perceptual hash; none of exemplars, copies of which are no copies of the brand's own pictures.
    pub hash: Option<PictureHash>,
    /// Vectors that windows are compared with.
    pub windows: Vec<Embedding>,
    /// Names of the versions of the picture that these describe, one for each.
    pub versions: Vec<String>,
    /// Vectors that whole photos are compared with.
    pub wholes: Vec<Embedding>,
}

/// All assets and their references.
pub struct Registry {
    revision: u64,
    assets: HashMap<AssetId, Asset>,
    references: HashMap<PictureId, Reference>,
    pictures_of: HashMap<AssetId, BTreeSet<PictureId>>,
    windows: LiveIndex,
    wholes: LiveIndex,
    /// Pictures of assets that are not active on `as_of`: in a search they would take the place of others.
    asleep: HashSet<PictureId>,
    as_of: Date,
    words: AssetWords,
    lessons: Lessons,
}

/// Vectors of one picture in one index get ids of their own below the next picture's.
const MAX_VARIANTS: u64 = 16;

fn entry_id(picture: PictureId, position: usize) -> EntryId {
    EntryId(picture.0.unsigned_abs() * MAX_VARIANTS + position as u64)
}

fn picture_of(entry: EntryId) -> PictureId {
    PictureId((entry.0 / MAX_VARIANTS) as i64)
}

impl Registry {
    /// An empty registry at revision 0; large graphs that were saved in `folder` under `stamp` are
    /// taken over, and confirmed or corrected by the first refresh. Later ones are saved there.
    pub(super) fn new([window_dim, whole_dim]: [usize; 2], folder: &Path, stamp: &str) -> Self {
        Self {
            windows: saved_or_new(window_dim, &folder.join(SPACE_WINDOW), stamp),
            wholes: saved_or_new(whole_dim, &folder.join(SPACE_WHOLE), stamp),
            ..Self::empty([window_dim, whole_dim])
        }
    }

    /// An empty registry at revision 0 that nothing was saved of.
    pub(super) fn empty([window_dim, whole_dim]: [usize; 2]) -> Self {
        Self {
            revision: 0,
            assets: HashMap::new(),
            references: HashMap::new(),
            pictures_of: HashMap::new(),
            windows: LiveIndex::new(window_dim),
            wholes: LiveIndex::new(whole_dim),
            asleep: HashSet::new(),
            as_of: today(),
            words: AssetWords::default(),
            lessons: Lessons::default(),
        }
    }

    /// The store's revision that this is a copy of.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Assets, disabled and expired ones included.
    pub fn n_assets(&self) -> usize {
        self.assets.len()
    }

    /// Reference pictures.
    pub fn n_references(&self) -> usize {
        self.references.len()
    }

    /// Vectors that windows are searched in.
    pub fn n_vectors(&self) -> usize {
        self.windows.len()
    }

    /// What the indexes of windows and of whole pictures consist of, by the names of their folders.
    pub fn index_states(&self) -> [(&'static str, IndexState); 2] {
        [
            (SPACE_WINDOW, self.windows.state()),
            (SPACE_WHOLE, self.wholes.state()),
        ]
    }

    /// An asset that photos are compared with today.
    pub fn active_asset(&self, id: AssetId) -> Option<&Asset> {
        self.assets
            .get(&id)
            .filter(|asset| asset.is_active(today()))
    }

    /// Whose asset it is; empty when it was removed meanwhile.
    pub(super) fn brand_of(&self, id: AssetId) -> &str {
        self.assets
            .get(&id)
            .map_or("", |asset| asset.draft.brand.as_str())
    }

    /// What people's decisions have taught.
    pub fn lessons(&self) -> &Lessons {
        &self.lessons
    }

    pub(super) fn take_lessons(&mut self, lessons: Lessons) {
        self.lessons = lessons;
    }

    /// Whether a reference comes from a confirmed finding and not from the brand.
    pub(super) fn is_exemplar(&self, id: PictureId) -> bool {
        let reference = self.references.get(&id);
        reference.is_some_and(|reference| reference.is_exemplar)
    }

    /// The references of an asset.
    pub fn references_of(&self, id: AssetId) -> impl Iterator<Item = &Reference> {
        self.pictures_of
            .get(&id)
            .into_iter()
            .flatten()
            .filter_map(|picture| self.references.get(picture))
    }

    /// All references.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.references.values()
    }

    /// The assets whose word marks are read, or nearly so.
    pub(super) fn matching_words(&self, words: &[Word]) -> HashMap<AssetId, FoundWord> {
        self.words.matches(words)
    }

    /// Assets of the `k` nearest references of each window, and of the whole photo, among those active.
    pub(super) fn nearest_assets(
        &self,
        windows: &[Embedding],
        whole: Option<&Embedding>,
        k: usize,
    ) -> Result<BTreeSet<AssetId>, EngineError> {
        let is_awake = |entry| !self.asleep.contains(&picture_of(entry));
        let allow = (!self.asleep.is_empty()).then_some(Allow::Where(&is_awake));
        let mut neighbours = self.windows.search_many(windows, k, allow)?;
        if let Some(whole) = whole {
            let whole = std::slice::from_ref(whole);
            neighbours.extend(self.wholes.search_many(whole, k, allow)?);
        }
        Ok(neighbours
            .iter()
            .flatten()
            .filter_map(|neighbour| self.references.get(&picture_of(neighbour.entry)))
            .map(|reference| reference.asset_id)
            .collect())
    }

    /// The indexes of windows and of whole pictures; what is done with them is done to the registry's own.
    pub(super) fn indexes(&self) -> [LiveIndex; 2] {
        [self.windows.clone(), self.wholes.clone()]
    }

    /// Finds out which pictures are of assets that are active on `day`.
    fn wake(&mut self, day: Date) {
        let inactive = self.assets.values().filter(|asset| !asset.is_active(day));
        let pictures = inactive.filter_map(|asset| self.pictures_of.get(&asset.id));
        self.asleep = pictures.flatten().copied().collect();
        self.as_of = day;
    }

    /// Takes vectors out of saved graphs that the store no longer knows.
    fn retain_known(&self) {
        let is_known = |entry| self.references.contains_key(&picture_of(entry));
        self.windows.retain(is_known);
        self.wholes.retain(is_known);
    }

    fn insert(&mut self, reference: Reference) -> Result<(), EngineError> {
        self.forget(reference.id);
        for (index, vectors) in [
            (&self.windows, &reference.windows),
            (&self.wholes, &reference.wholes),
        ] {
            for (position, vector) in vectors.iter().enumerate() {
                index.insert(entry_id(reference.id, position), vector)?;
            }
        }
        self.pictures_of
            .entry(reference.asset_id)
            .or_default()
            .insert(reference.id);
        self.references.insert(reference.id, reference);
        Ok(())
    }

    fn forget(&mut self, id: PictureId) {
        let Some(reference) = self.references.remove(&id) else {
            return;
        };
        for (index, vectors) in [
            (&self.windows, &reference.windows),
            (&self.wholes, &reference.wholes),
        ] {
            for position in 0..vectors.len() {
                index.remove(entry_id(id, position));
            }
        }
        if let Some(pictures) = self.pictures_of.get_mut(&reference.asset_id) {
            pictures.remove(&id);
        }
    }
}

fn today() -> Date {
    Zoned::now().date()
}

fn saved_or_new(dim: usize, folder: &Path, stamp: &str) -> LiveIndex {
    let index = match LiveIndex::open(dim, folder, stamp) {
        Ok(index) => index,
        Err(IndexError::NotSaved { .. }) => LiveIndex::new(dim),
        Err(error) => {
            tracing::warn!("the saved index is made anew from the database: {error}");
            LiveIndex::new(dim)
        }
    };
    index.saved_in(folder, stamp)
}

fn reference_of(picture: IndexedPicture) -> Reference {
    let (mut windows, mut versions, mut wholes) = (Vec::new(), Vec::new(), Vec::new());
    for descriptor in picture.descriptors {
        match descriptor.space.as_str() {
            SPACE_WINDOW => {
                windows.push(descriptor.embedding);
                versions.push(descriptor.variant);
            }
            SPACE_WHOLE => wholes.push(descriptor.embedding),
            // Spaces of a later version are of no use here.
            _ => {}
        }
    }
    Reference {
        id: picture.id,
        asset_id: picture.asset_id,
        is_exemplar: picture.exemplar_of.is_some(),
        hash: match picture.exemplar_of {
            None => PictureHash::from_bytes(&picture.hash).ok(),
            Some(_) => None,
        },
        windows,
        versions,
        wholes,
    }
}

impl Engine {
    /// Takes over what the store has learnt since the last call. Cheap when nothing has changed;
    /// called before every photo.
    ///
    /// # Errors
    /// [`EngineError`] when the store fails, or holds vectors of another dimension.
    pub fn refresh(&self) -> Result<(), EngineError> {
        self.learn()?;
        let revision = self.store.revision()?;
        let today = today();
        let is_up_to_date = |r: &Registry| r.revision == revision && r.as_of == today;
        if is_up_to_date(&self.registry()) {
            return Ok(());
        }
        let mut registry = self
            .registry
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut pictures = Vec::new();
        let mut changes = Vec::new();
        let revision =
            self.store
                .stream_since(registry.revision, false, |change| match change {
                    RegistryChange::Picture(picture) => pictures.push(picture),
                    other => changes.push(other),
                })?;
        let changes_words = changes
            .iter()
            .any(|c| !matches!(c, RegistryChange::PictureRemoved(_)));
        for change in changes {
            match change {
                RegistryChange::Asset(asset) => {
                    registry.assets.insert(asset.id, asset);
                }
                RegistryChange::AssetRemoved(id) => {
                    registry.assets.remove(&id);
                }
                RegistryChange::PictureRemoved(id) => registry.forget(id),
                RegistryChange::Picture(_) => {}
            }
        }
        for picture in pictures {
            registry.insert(reference_of(picture))?;
        }
        if changes_words {
            registry.words = AssetWords::new(registry.assets.values());
        }
        if registry.revision == 0 {
            registry.retain_known();
        }
        registry.wake(today);
        registry.revision = revision;
        Ok(())
    }

    /// Runs `look` on everything registered, as of now.
    ///
    /// # Errors
    /// As [`Engine::refresh`].
    pub fn with_registry<T>(&self, look: impl FnOnce(&Registry) -> T) -> Result<T, EngineError> {
        self.refresh()?;
        Ok(look(&self.registry()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AssetDraft, AssetKind};

    #[test]
    fn assets_that_are_not_active_take_nobodys_place_in_a_search() {
        let mut registry = Registry::empty([2, 2]);
        let vector = |y: f32| Embedding::new(vec![1.0, y]).expect("a direction");
        for id in 1..=9 {
            // The eight that are nearest are disabled.
            let asset = Asset {
                id: AssetId(id),
                draft: AssetDraft::new(format!("Brand {id}"), "mark", AssetKind::Logo),
                enabled: id == 9,
                n_pictures: 1,
                created_at: String::new(),
            };
            registry.assets.insert(asset.id, asset);
            let reference = Reference {
                id: PictureId(id),
                asset_id: AssetId(id),
                is_exemplar: false,
                hash: None,
                windows: vec![vector(id as f32 / 9.0)],
                versions: vec![String::new()],
                wholes: Vec::new(),
            };
            registry.insert(reference).expect("two numbers");
        }
        registry.wake(today());
        let nearest = |registry: &Registry| registry.nearest_assets(&[vector(0.0)], None, 3);
        let expected: BTreeSet<_> = [AssetId(9)].into();
        assert_eq!(nearest(&registry).expect("two numbers"), expected);
        for asset in registry.assets.values_mut() {
            asset.enabled = true;
        }
        registry.wake(today());
        let expected: BTreeSet<_> = (1..=3).map(AssetId).collect();
        assert_eq!(nearest(&registry).expect("two numbers"), expected);
    }
}
