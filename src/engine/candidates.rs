//! Stage 3: which registered things could this photo show? Neighbours of its windows and of the whole
//! photo, pictures with nearly the same hash, and assets whose word mark is read in it.

use std::collections::{BTreeSet, HashMap};

use ndarray::{ArrayView2, Axis};

use super::background::WindowChance;
use super::registry::{Reference, Registry};
use super::word_marks::FoundWord;
use super::{Engine, EngineError, PhotoDescription};
use crate::domain::{AssetId, AssetKind, Embedding, Measurements, PictureId, Region, dot};
use crate::embed::Window;
use crate::imaging::Picture;
use crate::matching::margin::margins;
use crate::matching::similarities::stacked;
use crate::matching::words::STRONG;

/// Neighbours asked for per window: marks come in three versions, and two of one brand's marks must
/// not hide the next brand.
const NEIGHBOURS: usize = 24;
/// Windows of one candidate that are kept for a closer look: where the description of a window is not
/// sure, the right one is among the first few. Four find more than one (`benches/RESULTS.md`).
const MAX_PLACES: usize = 4;
/// Assets whose references are compared with a photo's windows in one go: enough for a quick product, and
/// few megabytes.
const ASSETS_AT_A_TIME: usize = 256;
/// Hash bits, of 256, up to which a picture is a candidate whatever the network says.
const MAX_HASH_DISTANCE: u32 = 90;
/// What the best window exceeds chance by, or the whole photo, where a closer look may find something. Of
/// some 350 marks and packs that these two find on real photos none reaches neither (`benches/RESULTS.md`).
const NEAR_WINDOW: f32 = 0.12;
const NEAR_WHOLE: f32 = 0.02;
/// A window frames a word that it holds this share of, and whose longer side is this share of its own: on
/// what else a larger one shows the word has no say.
const LEAST_HELD: f32 = 0.8;
const LEAST_FRAMED: f32 = 0.3;

/// A window and the version of one of an asset's references that comes closest to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Position in [`PhotoDescription::windows`].
    pub window_idx: usize,
    /// The reference.
    pub picture_id: PictureId,
    /// Name of the version.
    pub version: String,
    /// Cosine of the two, `-1..=1`.
    pub similarity: f32,
    /// How far that exceeds what the window reaches by chance; `None` where nobody knows.
    pub lift: Option<f32>,
}

impl Place {
    /// What places are ranked by before a closer look.
    pub fn standing(&self) -> f32 {
        self.lift.unwrap_or(self.similarity)
    }
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
    /// The few windows that come closest, each once, closest first; empty when windows are not compared.
    pub places: Vec<Place>,
    /// What is known so far.
    pub measured: Measurements,
    /// The word that comes closest to a word mark.
    pub word: Option<FoundWord>,
    /// What the asset is.
    pub kind: AssetKind,
}

impl Candidate {
    /// Where a mark is that its word alone gives away: the closest window is chance then, and lies anywhere. Packs
    /// are larger than the words on them.
    pub(super) fn place_of_word(&self) -> Option<Region> {
        let is_seen = self.measured.window_standing() >= Some(NEAR_WINDOW);
        let word = self
            .word
            .as_ref()
            .filter(|word| word.found.strength() >= STRONG)?;
        (self.kind == AssetKind::Logo && !is_seen).then(|| Region::around(&word.found.quad))
    }

    /// Takes one of its places for the one where it is, with all that is measured there; `photo_area` in
    /// pixels of the prepared photo.
    pub(super) fn settle_in(
        &mut self,
        place_idx: usize,
        description: &PhotoDescription,
        photo_area: f32,
    ) {
        let place = &self.places[place_idx];
        self.picture_id = place.picture_id;
        self.region = description.windows[place.window_idx].region;
        self.measured.window_similarity = Some(place.similarity);
        self.measured.window_lift = place.lift;
        self.measured.view_area = Some(self.region.area() / photo_area);
    }
}

impl Engine {
    /// Stage 3: everything registered that is worth a closer look, each asset once.
    ///
    /// # Errors
    /// [`EngineError`] when the index refuses a vector.
    #[tracing::instrument(level = "info", name = "find_candidates", skip_all)]
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
        let mut candidates = self.measure_all(&registry, &assets, &words, size, description);
        add_margins(&registry, &mut candidates);
        Ok(candidates)
    }

    /// Whether any of `assets` comes so close to a described photo that a closer look might find it;
    /// `size` is the prepared width and height of the photo, pixels.
    /// Being a candidate says little: in a registry of some hundreds nearly everything is one.
    pub(super) fn comes_near(
        &self,
        assets: &BTreeSet<AssetId>,
        size: [u32; 2],
        description: &PhotoDescription,
    ) -> bool {
        let registry = self.registry();
        let words = registry.matching_words(description.words.as_deref().unwrap_or_default());
        let candidates = self.measure_all(&registry, assets, &words, size, description);
        candidates
            .iter()
            .any(|c| words.contains_key(&c.asset_id) || is_near(&c.measured))
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

    /// All that vectors, hash and `words` say of those of `assets` that are enabled and have references.
    fn measure_all(
        &self,
        registry: &Registry,
        assets: &BTreeSet<AssetId>,
        words: &HashMap<AssetId, FoundWord>,
        size: [u32; 2],
        description: &PhotoDescription,
    ) -> Vec<Candidate> {
        let assets: Vec<AssetId> = assets.iter().copied().collect();
        let whole = Region::new(0.0, 0.0, size[0] as f32, size[1] as f32);
        let dim = self.embedder.window_dim();
        let (windows, chance) = if self.settings.stages.windows {
            let windows = description.window_vectors(dim);
            let chance = self.background.window_chance(description, windows.view());
            (windows, chance)
        } else {
            (stacked(dim, []), None)
        };
        let mut candidates = Vec::with_capacity(assets.len());
        for ids in assets.chunks(ASSETS_AT_A_TIME) {
            let references = ids.iter().flat_map(|&id| registry.references_of(id));
            let versions = references.flat_map(|r| &r.windows).map(Embedding::as_slice);
            let similarities = stacked(dim, versions).dot(&windows.t());
            let mut rest = similarities.view();
            for &id in ids {
                let n_versions = registry.references_of(id).map(|r| r.windows.len()).sum();
                let (own, others) = rest.split_at(Axis(0), n_versions);
                rest = others;
                let chance = chance.as_ref();
                let measured = self.measure(registry, id, description, own, chance, whole);
                let Some(mut candidate) = measured else {
                    continue;
                };
                add_word(&mut candidate, words.get(&id), description.words.is_some());
                if let (Some(word), Some(chance)) = (&candidate.word, chance) {
                    let word = Region::around(&word.found.quad);
                    let chance_of = |window_idx| chance.of(window_idx, candidate.kind);
                    let look = look_of_word(&word, &description.windows, own, chance_of);
                    candidate.measured.word_look = look;
                }
                candidates.push(candidate);
            }
        }
        let whole_chance = self.background.whole_chance(description);
        for candidate in &mut candidates {
            let m = &mut candidate.measured;
            m.whole_lift = above(whole_chance, m.whole_similarity);
        }
        candidates
    }

    /// All that vectors and hash say of one asset; `None` when it is disabled or has no references.
    /// `similarities` are those of all versions of its references with all windows, `[versions, windows]`.
    fn measure(
        &self,
        registry: &Registry,
        id: AssetId,
        description: &PhotoDescription,
        similarities: ArrayView2<f32>,
        chance: Option<&WindowChance>,
        whole: Region,
    ) -> Option<Candidate> {
        let references: Vec<_> = registry.references_of(id).collect();
        let mut candidate = Candidate {
            asset_id: id,
            picture_id: references.first()?.id,
            region: whole,
            places: Vec::new(),
            measured: Measurements::default(),
            word: None,
            kind: registry.active_asset(id)?.draft.kind,
        };
        let m = &mut candidate.measured;
        for reference in &references {
            if self.settings.stages.whole {
                measure_whole(m, reference, description);
            }
            if let Some(distance) = hash_distance(reference, description) {
                let distance = distance as f32;
                m.hash_distance = Some(m.hash_distance.map_or(distance, |d| d.min(distance)));
            }
        }
        let kind = candidate.kind;
        let chance_of = |window_idx| chance.map(|chance| chance.of(window_idx, kind));
        candidate.places = nearest_places(&references, similarities, chance_of);
        if !candidate.places.is_empty() {
            candidate.settle_in(0, description, whole.area());
        }
        Some(candidate)
    }
}

/// Whether vectors or hash alone leave room for a finding.
fn is_near(m: &Measurements) -> bool {
    let reaches = |value: Option<f32>, least: f32| value.is_some_and(|value| value >= least);
    reaches(m.window_standing(), NEAR_WINDOW)
        || reaches(m.whole_lift.or(m.whole_similarity), NEAR_WHOLE)
        || m.hash_distance
            .is_some_and(|distance| distance <= MAX_HASH_DISTANCE as f32)
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

/// The windows that exceed what they reach by chance most, each with the version of any of the references
/// that comes closest to it; best first. `similarities` are `[versions of all references, windows]`.
fn nearest_places(
    references: &[&Reference],
    similarities: ArrayView2<f32>,
    chance_of: impl Fn(usize) -> Option<f32>,
) -> Vec<Place> {
    let versions: Vec<(PictureId, &String)> = references
        .iter()
        .flat_map(|r| r.versions.iter().map(|version| (r.id, version)))
        .collect();
    let mut places: Vec<Place> = Vec::with_capacity(MAX_PLACES + 1);
    for (window_idx, similarities) in similarities.columns().into_iter().enumerate() {
        let nearest = versions.iter().zip(similarities);
        let nearest = nearest.max_by(|(_, a), (_, b)| a.total_cmp(b));
        let Some((&(picture_id, version), &similarity)) = nearest else {
            continue;
        };
        let lift = chance_of(window_idx).map(|chance| similarity - chance);
        let standing = lift.unwrap_or(similarity);
        let rank = places.partition_point(|place| place.standing() >= standing);
        if rank < MAX_PLACES {
            let place = Place {
                window_idx,
                picture_id,
                version: version.clone(),
                similarity,
                lift,
            };
            places.insert(rank, place);
            places.truncate(MAX_PLACES);
        }
    }
    places
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

/// How far what is drawn where `word` stands exceeds chance, at best; `None` where no window frames the word.
/// `similarities` are `[versions of all references, windows]`.
fn look_of_word(
    word: &Region,
    windows: &[Window],
    similarities: ArrayView2<f32>,
    chance_of: impl Fn(usize) -> f32,
) -> Option<f32> {
    let framing = windows.iter().enumerate().filter(|(_, window)| {
        let region = &window.region;
        region.shared_area(word) >= LEAST_HELD * word.area()
            && word.w.max(word.h) >= LEAST_FRAMED * region.w.max(region.h)
    });
    let lifts = framing.filter_map(|(window_idx, _)| {
        let nearest = similarities.column(window_idx);
        let nearest = nearest.iter().copied().reduce(f32::max)?;
        Some(nearest - chance_of(window_idx))
    });
    lifts.reduce(f32::max)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::words::WordMatch;

    fn window(x: f32, side: f32) -> Window {
        Window {
            region: Region::new(x, 0.0, side, side),
            embedding: Embedding::new(vec![1.0, 0.0]).expect("not zero"),
            place: None,
        }
    }

    #[test]
    fn only_windows_that_frame_a_word_tell_how_it_is_drawn() {
        // Over the word, beside it, and so large that it shows mostly other things.
        let windows = [window(0.0, 100.0), window(60.0, 100.0), window(0.0, 400.0)];
        let similarities = ndarray::arr2(&[[0.2, 0.9, 0.8], [0.5, 0.9, 0.8]]);
        let word = Region::new(10.0, 40.0, 80.0, 20.0);
        let look = look_of_word(&word, &windows, similarities.view(), |_| 0.25);
        assert_eq!(look, Some(0.25));
        let nowhere = Region::new(300.0, 40.0, 80.0, 20.0);
        let look = look_of_word(&nowhere, &windows, similarities.view(), |_| 0.25);
        assert_eq!(look, None);
    }

    #[test]
    fn a_mark_that_only_its_word_gives_away_is_where_the_word_is() {
        let quad = [[10.0, 10.0], [50.0, 10.0], [50.0, 20.0], [10.0, 20.0]];
        let found = WordMatch {
            mark: 0,
            text: "ACME".to_owned(),
            similarity: 1.0,
            exact: true,
            edit_distance: 0,
            confidence: 1.0,
            is_common_word: false,
            is_part: false,
            weight: 4,
            quad,
        };
        let candidate = |kind, lift, confidence| Candidate {
            asset_id: AssetId(1),
            picture_id: PictureId(1),
            region: Region::new(200.0, 200.0, 64.0, 64.0),
            places: Vec::new(),
            measured: Measurements {
                window_lift: Some(lift),
                ..Measurements::default()
            },
            word: Some(FoundWord {
                mark: "Acme".to_owned(),
                found: WordMatch {
                    confidence,
                    ..found.clone()
                },
            }),
            kind,
        };
        let place = candidate(AssetKind::Logo, 0.05, 1.0).place_of_word();
        assert_eq!(place, Some(Region::new(10.0, 10.0, 40.0, 10.0)));
        // Seen elsewhere, doubtfully read, or a word on a pack.
        for other in [
            candidate(AssetKind::Logo, 0.3, 1.0),
            candidate(AssetKind::Logo, 0.05, 0.3),
            candidate(AssetKind::Packaging, 0.05, 1.0),
        ] {
            assert_eq!(other.place_of_word(), None);
        }
    }
}
