//! Learning from what people decide: confirmed parts of photos become pictures of their assets; a brand's
//! probabilities and the threshold of its promise follow from its decisions.
//!
//! What is learnt is not stored. Like the registry it is made from the store again, brand by brand, when
//! there were further decisions; decisions that are taken back are so forgotten by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::sync::Arc;

use image::{ImageFormat, RgbImage};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Engine, EngineError};
use crate::domain::{FileDigest, FindingId, FindingStatus, Promise, Region};
use crate::imaging::{self, Picture};
use crate::matching::teaching::{Grounds, Lesson, bias, keep_promise};
use crate::store::{Store, StoreError, Taught, TeachingState};

/// What is taken into an exemplar around its finding, in shares of the finding's size on each side: regions
/// are rarely exact to a few percent.
const MARGIN: f32 = 0.08;

/// What the decisions on one brand's findings have taught.
#[derive(Debug, Clone, PartialEq, Default, Serialize, ToSchema)]
pub struct BrandTeaching {
    /// Findings that people confirmed or rejected; nearly equal photos count once.
    pub n_decided: usize,
    /// Of these, those that were confirmed.
    pub n_confirmed: usize,
    /// What is added to the log-odds of the brand's findings.
    pub bias: f64,
    /// What the brand was promised of its flagged findings, and from where on that is kept.
    pub promise: Option<Promise>,
    /// What the promise's threshold rests on.
    pub grounds: Option<Grounds>,
}

impl BrandTeaching {
    fn lesson(&self) -> Lesson {
        Lesson {
            bias: self.bias,
            promise: self.promise,
        }
    }
}

/// What is applied to the findings of each brand, as of one moment. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Lessons {
    state: TeachingState,
    brands: Arc<BTreeMap<String, BrandTeaching>>,
}

impl Lessons {
    /// What is learnt of a brand; nothing of one without decisions and promise.
    pub fn of(&self, brand: &str) -> Lesson {
        let known = self.brands.get(brand);
        known.map(BrandTeaching::lesson).unwrap_or_default()
    }

    /// What each brand's decisions have taught, by the brand's name; of brands with decisions or a promise.
    pub fn brands(&self) -> &BTreeMap<String, BrandTeaching> {
        &self.brands
    }

    /// What is applied to findings, by brand; brands to which nothing is are left out.
    pub fn applied(&self) -> BTreeMap<&str, Lesson> {
        let brands = self.brands.iter();
        brands
            .map(|(brand, taught)| (brand.as_str(), taught.lesson()))
            .filter(|(_, lesson)| *lesson != Lesson::default())
            .collect()
    }

    /// SHA-256 of all that is applied; `None` when that is nothing.
    pub fn digest(&self) -> Option<FileDigest> {
        let applied = self.applied();
        let text = serde_json::to_vec(&applied).expect("numbers under names are JSON");
        (!applied.is_empty()).then(|| FileDigest::of(&text))
    }
}

/// What the decisions on a brand's findings teach, where the precision `promised` was promised.
///
/// # Errors
/// Those of the database.
pub fn brand_teaching(
    store: &Store,
    brand: &str,
    promised: Option<f64>,
) -> Result<BrandTeaching, StoreError> {
    let decided = store.decided(brand)?;
    let bias = bias(&decided);
    let kept = promised.map(|precision| keep_promise(&decided, precision, bias));
    Ok(BrandTeaching {
        n_decided: decided.len(),
        n_confirmed: decided.iter().filter(|one| one.is_right).count(),
        bias,
        promise: kept.map(|(promise, _)| promise),
        grounds: kept.map(|(_, grounds)| grounds),
    })
}

impl Engine {
    /// What people's decisions have taught, as of the last refresh.
    pub fn lessons(&self) -> Lessons {
        self.registry().lessons().clone()
    }

    /// Applies these lessons, by brand, in place of what the engine's own decisions have taught: for
    /// engines on registries of their own, to find again what another said ([`Engine::with_empty_registry`]).
    pub fn apply_lessons(&self, lessons: BTreeMap<String, Lesson>) {
        let taught = |lesson: Lesson| BrandTeaching {
            bias: lesson.bias,
            promise: lesson.promise,
            ..BrandTeaching::default()
        };
        let brands = lessons.into_iter().map(|(brand, one)| (brand, taught(one)));
        // Not within the call: the registry would still be read while it is to be written.
        let state = self.registry().lessons().state;
        self.take_lessons(Lessons {
            state,
            brands: Arc::new(brands.collect()),
        });
    }

    fn take_lessons(&self, lessons: Lessons) {
        let mut registry = self
            .registry
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        registry.take_lessons(lessons);
    }

    /// Learns from what was decided and promised since the last call. Cheap when that is nothing.
    pub(super) fn learn(&self) -> Result<(), EngineError> {
        let state = self.store.teaching_state()?;
        let known = self.lessons();
        if known.state == state {
            return Ok(());
        }
        // A restored backup knows fewer decisions; what was learnt of the others is forgotten.
        let is_older = state.decision < known.state.decision;
        let (since, mut brands) = if is_older {
            (0, BTreeMap::new())
        } else {
            (known.state.decision, BTreeMap::clone(&known.brands))
        };
        let promises = self.store.promises()?;
        let mut touched: BTreeSet<String> = self
            .store
            .brands_decided_since(since)?
            .into_iter()
            .collect();
        if is_older || state.promise != known.state.promise {
            touched.extend(promises.keys().cloned());
            let promised = brands.iter().filter(|(_, taught)| taught.promise.is_some());
            touched.extend(promised.map(|(brand, _)| brand.clone()));
        }
        for brand in touched {
            let taught = brand_teaching(&self.store, &brand, promises.get(&brand).copied())?;
            if taught == BrandTeaching::default() {
                brands.remove(&brand);
            } else {
                brands.insert(brand, taught);
            }
        }
        self.take_lessons(Lessons {
            state,
            brands: Arc::new(brands),
        });
        Ok(())
    }

    /// Makes a picture of its asset of a confirmed finding whose photo was kept: the part of the photo that
    /// it is about, with a little around it. Later photos are compared with it, and earlier ones by
    /// look-back. It goes when the confirmation does. On disk and searchable when this returns.
    ///
    /// # Errors
    /// [`EngineError::PhotoNotKept`]; [`EngineError::BlankReference`] for a part without anything on it; as
    /// [`Store::add_exemplar`](crate::store::Store::add_exemplar).
    pub fn add_exemplar(&self, id: FindingId) -> Result<Taught, EngineError> {
        let record = self.store.finding(id)?;
        // Asked again when it is written; here it spares the work.
        if record.status != FindingStatus::Confirmed {
            return Err(StoreError::NotConfirmed { id }.into());
        }
        let bytes = self.store.finding_photo(id)?;
        let photo = self.prepare(&bytes.ok_or(EngineError::PhotoNotKept { id })?)?;
        let part = part_of(&photo, &record.finding.region);
        let mut png = Vec::new();
        part.write_to(&mut Cursor::new(&mut png), ImageFormat::Png)
            .expect("pixels in memory are written to memory");
        let picture = self.describe_exemplar(&format!("finding {}.png", id.0), &png)?;
        let taught = self.store.add_exemplar(id, &picture)?;
        self.refresh()?;
        Ok(taught)
    }
}

/// The part of a prepared photo around a region of its original.
fn part_of(photo: &Picture, region: &Region) -> RgbImage {
    let region = region.grown(MARGIN).scaled(1.0 / photo.to_original_scale());
    imaging::crop(&photo.pixels, region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_is_that_of_the_original_with_a_margin_and_never_beyond_the_edge() {
        let photo = Picture {
            pixels: RgbImage::from_fn(100, 50, |x, y| image::Rgb([x as u8, y as u8, 0])),
            original_size: [200, 100],
        };
        let part = part_of(&photo, &Region::new(100.0, 20.0, 50.0, 50.0));
        assert_eq!(part.dimensions(), (29, 29));
        assert_eq!(part.get_pixel(0, 0).0, [48, 8, 0]);
        let part = part_of(&photo, &Region::new(-20.0, -20.0, 900.0, 900.0));
        assert_eq!(part.dimensions(), (100, 50));
    }

    #[test]
    fn lessons_of_nothing_have_no_digest() {
        assert_eq!(Lessons::default().digest(), None);
        let undecided = BrandTeaching {
            n_decided: 3,
            ..BrandTeaching::default()
        };
        let mut brands = BTreeMap::from([("Acme".to_owned(), undecided)]);
        let lessons = |brands: &BTreeMap<String, BrandTeaching>| Lessons {
            brands: Arc::new(brands.clone()),
            ..Lessons::default()
        };
        assert_eq!(lessons(&brands).digest(), None);
        brands.get_mut("Acme").expect("there").bias = 0.05;
        assert!(lessons(&brands).digest().is_some());
        assert_eq!(lessons(&brands).of("Acme").bias, 0.05);
        assert_eq!(lessons(&brands).of("Other"), Lesson::default());
    }
}
