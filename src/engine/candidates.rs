//! Stage 3: which registered things could this photo show? Neighbours of its windows and of the whole
//! photo, pictures with nearly the same hash, and assets whose word mark is read in it.

use std::collections::BTreeSet;

use super::background::WindowChance;
use super::registry::{Reference, Registry};
use super::word_marks::FoundWord;
use super::{Engine, EngineError, PhotoDescription};
use crate::domain::{AssetId, Measurements, PictureId, Region, dot};
use crate::imaging::Picture;
use crate::matching::margin::margins;

/// Neighbours asked for per window: marks come in three versions, and two of one brand's marks must
/// not hide the next brand.
const NEIGHBOURS: usize = 24;
/// Hash bits, of 256, up to which a picture is a candidate whatever the network says.
const MAX_HASH_DISTANCE: u32 = 90;

/// The window and the version of a reference that come closest to each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Nearest {
    /// Position in [`PhotoDescription::windows`].
    pub window_idx: usize,
    /// Name of the version.
    pub version: String,
}

/// A registered thing that the photo could show, not yet judged.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The asset.
    pub asset_id: AssetId,
    /// Its reference that comes closest.
    pub picture_id: PictureId,
    /// The window that comes closest, in pixels of the prepared photo.
    pub region: Region,
    /// Which window that is, and which version of the reference; `None` when windows are not compared.
    pub nearest: Option<Nearest>,
    /// What is known so far.
    pub measured: Measurements,
    /// The word that comes closest to a word mark.
    pub word: Option<FoundWord>,
}

impl Engine {
    /// Stage 3: everything registered that is worth a closer look, each asset once.
    ///
    /// # Errors
    /// [`EngineError`] when the index refuses a vector.
    pub fn find_candidates(
        &self,
        photo: &Picture,
        description: &PhotoDescription,
    ) -> Result<Vec<Candidate>, EngineError> {
        let (width, height) = photo.pixels.dimensions();
        self.find_candidates_in([width, height], description)
    }

    /// As [`Engine::find_candidates`], of a photo that only its description is left of; `size` is its
    /// prepared width and height, pixels.
    pub(super) fn find_candidates_in(
        &self,
        size: [u32; 2],
        description: &PhotoDescription,
    ) -> Result<Vec<Candidate>, EngineError> {
        let registry = self.registry();
        let words = registry.matching_words(description.words.as_deref().unwrap_or_default());
        let mut assets = self.nearest(&registry, description)?;
        assets.extend(hash_neighbours(&registry, description));
        assets.extend(words.keys());
        let whole = Region::new(0.0, 0.0, size[0] as f32, size[1] as f32);
        let chance = self.background.window_chance(description);
        let mut candidates: Vec<Candidate> = assets
            .iter()
            .filter_map(|&id| self.measure(&registry, id, description, chance.as_ref(), whole))
            .collect();
        let whole_chance = self.background.whole_chance(description);
        for candidate in &mut candidates {
            let m = &mut candidate.measured;
            m.whole_lift = above(whole_chance, m.whole_similarity);
            let word = words.get(&candidate.asset_id);
            add_word(candidate, word, description.words.is_some());
        }
        add_margins(&registry, &mut candidates);
        Ok(candidates)
    }

    fn nearest(
        &self,
        registry: &Registry,
        description: &PhotoDescription,
    ) -> Result<BTreeSet<AssetId>, EngineError> {
        let stages = self.settings.stages;
        let windows: Vec<_> = if stages.windows {
            description
                .windows
                .iter()
                .map(|window| window.embedding.clone())
                .collect()
        } else {
            Vec::new()
        };
        let whole = stages.whole.then_some(&description.whole);
        registry.nearest_assets(&windows, whole, NEIGHBOURS)
    }

    /// All that vectors and hash say of one asset; `None` when it is disabled or has no
    /// references.
    fn measure(
        &self,
        registry: &Registry,
        id: AssetId,
        description: &PhotoDescription,
        chance: Option<&WindowChance>,
        whole: Region,
    ) -> Option<Candidate> {
        let mut candidate = Candidate {
            asset_id: id,
            picture_id: registry.references_of(id).next()?.id,
            region: whole,
            nearest: None,
            measured: Measurements::default(),
            word: None,
        };
        let kind = registry.active_asset(id)?.draft.kind;
        let chance_of = |window_idx| chance.map_or(0.0, |chance| chance.of(window_idx, kind));
        let mut best = f32::NEG_INFINITY;
        for reference in registry.references_of(id) {
            let m = &mut candidate.measured;
            if self.settings.stages.whole {
                measure_whole(m, reference, description);
            }
            if let Some(distance) = hash_distance(reference, description) {
                let distance = distance as f32;
                m.hash_distance = Some(m.hash_distance.map_or(distance, |d| d.min(distance)));
            }
            if self.settings.stages.windows
                && let Some((lift, nearest)) = nearest_window(reference, description, chance_of)
                && lift > best
            {
                let region = description.windows[nearest.window_idx].region;
                best = lift;
                m.window_similarity = Some(lift + chance_of(nearest.window_idx));
                m.window_lift = chance.is_some().then_some(lift);
                candidate.picture_id = reference.id;
                candidate.region = region;
                candidate.nearest = Some(nearest);
                m.view_area = Some(region.area() / whole.area());
            }
        }
        Some(candidate)
    }
}

fn above(chance: Option<f32>, similarity: Option<f32>) -> Option<f32> {
    Some(similarity? - chance?)
}

fn raise(slot: &mut Option<f32>, value: f32) {
    *slot = Some(slot.map_or(value, |old| old.max(value)));
}

fn measure_whole(m: &mut Measurements, reference: &Reference, description: &PhotoDescription) {
    for vector in &reference.wholes {
        let similarity = dot(vector.as_slice(), description.whole.as_slice());
        raise(&mut m.whole_similarity, similarity);
    }
}

/// The window that exceeds what it reaches by chance most, for any version of the reference, and by how
/// much.
fn nearest_window(
    reference: &Reference,
    description: &PhotoDescription,
    chance_of: impl Fn(usize) -> f32,
) -> Option<(f32, Nearest)> {
    let windows = description.windows.iter().enumerate();
    let lifts = windows.flat_map(|(window_idx, window)| {
        let chance = chance_of(window_idx);
        let versions = reference.windows.iter().enumerate();
        versions.map(move |(version_idx, version)| {
            let similarity = dot(version.as_slice(), window.embedding.as_slice());
            (similarity - chance, window_idx, version_idx)
        })
    });
    let (lift, window_idx, version_idx) = lifts.max_by(|a, b| a.0.total_cmp(&b.0))?;
    let version = reference.versions[version_idx].clone();
    let nearest = Nearest {
        window_idx,
        version,
    };
    Some((lift, nearest))
}

/// Differing bits, best of the eight ways in which the photo may be turned or mirrored.
fn hash_distance(reference: &Reference, description: &PhotoDescription) -> Option<u32> {
    let hash = reference.hash.as_ref()?;
    let turned = description.hashes.as_ref()?;
    turned.iter().map(|mine| mine.distance(hash)).min()
}

fn hash_neighbours<'a>(
    registry: &'a Registry,
    description: &'a PhotoDescription,
) -> impl Iterator<Item = AssetId> + 'a {
    registry
        .references()
        .filter(|r| hash_distance(r, description).is_some_and(|d| d <= MAX_HASH_DISTANCE))
        .map(|reference| reference.asset_id)
}

/// Looked for and not found is 0, not a missing number.
fn add_word(candidate: &mut Candidate, word: Option<&FoundWord>, was_read: bool) {
    if !was_read {
        return;
    }
    let flag = |is_set: bool| f32::from(u8::from(is_set));
    let found = word.map(|word| &word.found);
    let m = &mut candidate.measured;
    m.word_similarity = Some(found.map_or(0.0, |w| w.strength()));
    m.word_is_common = Some(found.map_or(0.0, |w| flag(w.is_common_word)));
    m.word_near_miss = Some(found.map_or(0.0, |w| if w.near_miss() { w.similarity } else { 0.0 }));
    candidate.word = word.cloned();
}

/// How far each candidate leads over the best candidate of any other brand.
fn add_margins(registry: &Registry, candidates: &mut [Candidate]) {
    let of = |value: fn(&Measurements) -> Option<f32>| {
        let values: Vec<_> = candidates
            .iter()
            .map(|c| (registry.brand_of(c.asset_id), value(&c.measured)))
            .collect();
        margins(&values)
    };
    let window = of(Measurements::window_standing);
    let whole = of(|m| m.whole_similarity);
    for (candidate, (window, whole)) in candidates.iter_mut().zip(window.into_iter().zip(whole)) {
        candidate.measured.window_margin = window;
        candidate.measured.whole_margin = whole;
    }
}
