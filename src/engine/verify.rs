//! Stage 4: a closer look at the most promising candidates: their cells laid over the window, local
//! features under one transform, how well the aligned pictures agree, and the words that both show. Yields numbers, takes no decision.

use super::word_marks::as_read;
use super::{Candidate, Engine, EngineError, PhotoDescription, Place};
use crate::domain::{AssetKind, Measurements, PictureId, Region};
use crate::imaging::Picture;
use crate::matching::cells::agreement;
use crate::matching::features::Variant;
use crate::matching::geometry::{Alignment, verify};
use crate::matching::margin::margins;
use crate::matching::photometry;
use crate::matching::words::PictureWords;

/// Candidates whose cells are compared: a fraction of a millisecond each.
const MAX_LAID_OVER: usize = 48;
/// Candidates whose local features are compared, milliseconds each. Ordered by their cells too, eight
/// find as much as sixteen, and four a little less (`benches/RESULTS.md`, 24 November 2026).
const MAX_VERIFIED: usize = 8;
/// Pictures of one asset whose local features are compared.
const MAX_PICTURES: usize = 4;
/// Words count for a candidate in its place and this far around it, in shares of its size: windows are
/// only roughly where the thing is.
const WORDS_REACH: f32 = 0.2;
/// Agreeing places from which pixels are compared: fewer do not pin the transform down.
const MIN_INLIERS_FOR_PIXELS: usize = 6;

/// A candidate with all measurements.
#[derive(Debug, Clone)]
pub struct Verified {
    /// The candidate; its measurements now include those of this stage.
    pub candidate: Candidate,
    /// How the reference lies in the photo, where that was found; pixels of the prepared photo.
    pub alignment: Option<Alignment>,
}

impl Verified {
    /// Where in the prepared photo: under the aligned reference if there is one, else the best window, or
    /// the word that alone speaks for a mark.
    pub fn region(&self) -> Region {
        match self.firm_alignment() {
            Some(alignment) => Region::around(&alignment.quad),
            None => {
                let word = self.candidate.place_of_word();
                word.unwrap_or(self.candidate.region)
            }
        }
    }

    /// How the candidate's picture lies in the photo, where enough places agree to tell; fewer may be
    /// of another picture of the asset, and are chance more often than not.
    pub fn firm_alignment(&self) -> Option<&Alignment> {
        let alignment = self.alignment.as_ref();
        alignment.filter(|a| a.inliers >= MIN_INLIERS_FOR_PIXELS)
    }

    /// Whether the reference had to be mirrored.
    pub fn is_mirrored(&self) -> bool {
        self.alignment.as_ref().is_some_and(|a| a.variant.mirrored)
    }
}

/// How much a closer look may be worth, from what is known already. Only an order: each part is about
/// 1 where it is convincing on its own.
fn promise(m: &Measurements) -> f32 {
    let window = m.window_standing().unwrap_or(0.0);
    let whole = m.whole_similarity.unwrap_or(0.0);
    let hash = m.hash_distance.map_or(0.0, |d| 1.0 - d / 100.0).max(0.0);
    let word = m.word_similarity.unwrap_or(0.0);
    // 0.6: the right brand is then among the best 20 in .74 of real photos of marks, .98 of products.
    // 0.75: between the best for finding the right brand (0.5) and for few false alarms (2).
    let cells = m.cell_agreement.unwrap_or(0.0);
    2.0 * (window + 0.6 * whole + 0.75 * cells) + hash + word
}

/// Most promising first.
fn order(candidates: &mut [Candidate]) {
    candidates.sort_by(|a, b| {
        let by_promise = promise(&b.measured).total_cmp(&promise(&a.measured));
        by_promise.then(a.asset_id.cmp(&b.asset_id))
    });
}

impl Engine {
    /// Stage 4: adds what cells, geometry and pixels say of the most promising candidates; all come back,
    /// most promising first.
    ///
    /// # Errors
    /// [`EngineError`] when a reference cannot be read.
    #[tracing::instrument(level = "info", name = "verify", skip_all)]
    pub fn verify(
        &self,
        photo: &Picture,
        description: &PhotoDescription,
        mut candidates: Vec<Candidate>,
    ) -> Result<Vec<Verified>, EngineError> {
        order(&mut candidates);
        if self.settings.stages.cells {
            let n_laid_over = MAX_LAID_OVER.min(candidates.len());
            let (width, height) = photo.pixels.dimensions();
            let area = width as f32 * height as f32;
            self.lay_over(description, area, &mut candidates[..n_laid_over])?;
            order(&mut candidates[..n_laid_over]);
        }
        let n_verified = if self.settings.stages.geometry {
            MAX_VERIFIED
        } else {
            0
        };
        let rest = candidates.split_off(n_verified.min(candidates.len()));
        let mut verified = candidates
            .into_iter()
            .map(|candidate| self.verify_one(photo, description, candidate))
            .collect::<Result<Vec<_>, _>>()?;
        self.add_margins(&mut verified, |m| m.inliers, |m| &mut m.inlier_margin);
        self.add_shared_words(description, &mut verified)?;
        self.add_rival_leads(&photo.pixels, &mut verified)?;
        verified.extend(rest.into_iter().map(|candidate| Verified {
            candidate,
            alignment: None,
        }));
        Ok(verified)
    }

    /// Compares each candidate's cells in the windows that are nearest to it, and leaves it where window
    /// and cells together agree best.
    fn lay_over(
        &self,
        description: &PhotoDescription,
        photo_area: f32,
        candidates: &mut [Candidate],
    ) -> Result<(), EngineError> {
        for candidate in &mut *candidates {
            let agreements = self.agreements(description, &candidate.places)?;
            let Some((place_idx, agreement)) = best_place(&candidate.places, &agreements) else {
                continue;
            };
            candidate.settle_in(place_idx, description, photo_area);
            candidate.measured.cell_agreement = Some(agreement);
        }
        let registry = self.registry();
        let agreements: Vec<_> = candidates
            .iter()
            .map(|c| (registry.brand_of(c.asset_id), c.measured.cell_agreement))
            .collect();
        let margins = margins(&agreements);
        for (candidate, margin) in candidates.iter_mut().zip(margins) {
            candidate.measured.cell_margin = margin;
        }
        Ok(())
    }

    /// How well the cells agree in each place, closest first. Where there are none to compare in the
    /// closest, the others are not looked at: it stays.
    fn agreements(
        &self,
        description: &PhotoDescription,
        places: &[Place],
    ) -> Result<Vec<Option<f32>>, EngineError> {
        let mut agreements = Vec::with_capacity(places.len());
        for place in places {
            agreements.push(self.agreement_in(description, place)?);
            if agreements[0].is_none() {
                break;
            }
        }
        Ok(agreements)
    }

    /// `None` where the window has no cells of its own, or the picture none.
    fn agreement_in(
        &self,
        description: &PhotoDescription,
        place: &Place,
    ) -> Result<Option<f32>, EngineError> {
        let Some(on_map) = description.windows[place.window_idx].place else {
            return Ok(None);
        };
        let cells = self.reference_cells(place.picture_id, &place.version)?;
        let map = &description.maps[on_map.map_idx];
        Ok(cells.and_then(|cells| agreement(map, on_map.frame, &cells)))
    }

    fn verify_one(
        &self,
        photo: &Picture,
        description: &PhotoDescription,
        mut candidate: Candidate,
    ) -> Result<Verified, EngineError> {
        let pictures = self.pictures_to_verify(&candidate);
        let variants = variants_of(candidate.kind);
        let mut best: Option<(PictureId, Alignment)> = None;
        for id in pictures {
            let Some(reference) = self.reference_detail(id)? else {
                continue;
            };
            let found = verify(
                &reference.features,
                description.features(&photo.pixels),
                variants,
            );
            if let Some(found) = found
                && best.as_ref().is_none_or(|(_, b)| found.inliers > b.inliers)
            {
                best = Some((id, found));
            }
        }
        add_alignment(
            &mut candidate.measured,
            best.as_ref().map(|(_, alignment)| alignment),
        );
        if let Some((id, alignment)) = &best
            && alignment.inliers >= MIN_INLIERS_FOR_PIXELS
            && let Some(reference) = self.reference_detail(*id)?
        {
            candidate.picture_id = *id;
            let agreement =
                photometry::agreement(&reference.pixels, &photo.pixels, &alignment.transform);
            if let Some(agreement) = agreement {
                candidate.measured.ncc = Some(agreement.ncc);
                candidate.measured.colour_difference = Some(agreement.colour_difference);
                candidate.measured.residual_share = Some(agreement.residual_share);
            }
        }
        Ok(Verified {
            candidate,
            alignment: best.map(|(_, alignment)| alignment),
        })
    }

    /// The asset's pictures, the one that came closest first.
    fn pictures_to_verify(&self, candidate: &Candidate) -> Vec<PictureId> {
        let registry = self.registry();
        let others = registry
            .references_of(candidate.asset_id)
            .map(|reference| reference.id)
            .filter(|&id| id != candidate.picture_id);
        let pictures = std::iter::once(candidate.picture_id).chain(others);
        pictures.take(MAX_PICTURES).collect()
    }

    /// Adds how much of what is written on each reference is read in its place in the photo.
    fn add_shared_words(
        &self,
        description: &PhotoDescription,
        verified: &mut [Verified],
    ) -> Result<(), EngineError> {
        let Some(read) = &description.words else {
            return Ok(());
        };
        for v in &mut *verified {
            let detail = self.reference_detail(v.candidate.picture_id)?;
            let Some(detail) = detail.filter(|detail| !detail.words.is_empty()) else {
                continue;
            };
            let place = v.region().grown(WORDS_REACH);
            let inside = read
                .iter()
                .filter(|word| place.holds_middle_of(&Region::around(&word.quad)));
            let letters = detail
                .words
                .shared_letters(&PictureWords::of(&as_read(inside)));
            v.candidate.measured.shared_letters = Some(letters);
        }
        self.add_margins(verified, |m| m.shared_letters, |m| &mut m.shared_margin);
        Ok(())
    }

    /// Adds how far each leads over the best of any other brand in what `value` gives.
    fn add_margins(
        &self,
        verified: &mut [Verified],
        value: fn(&Measurements) -> Option<f32>,
        margin: fn(&mut Measurements) -> &mut Option<f32>,
    ) {
        let registry = self.registry();
        let values: Vec<_> = verified
            .iter()
            .map(|v| {
                let brand = registry.brand_of(v.candidate.asset_id);
                (brand, value(&v.candidate.measured))
            })
            .collect();
        let margins = margins(&values);
        for (v, lead) in verified.iter_mut().zip(margins) {
            *margin(&mut v.candidate.measured) = lead;
        }
    }
}

/// Of the places in which cells were compared, the one where they and the window say most together, and
/// what the cells say; `None` where the closest has no cells to compare: it may not lose to worse ones for that.
fn best_place(places: &[Place], agreements: &[Option<f32>]) -> Option<(usize, f32)> {
    agreements.first()?.as_ref()?;
    let compared = agreements.iter().enumerate();
    let compared = compared.filter_map(|(idx, &agreement)| Some((idx, agreement?)));
    let together = |&(idx, agreement): &(usize, f32)| places[idx].standing() + agreement;
    // The last of equals is taken, and the closest shall be.
    compared
        .rev()
        .max_by(|a, b| together(a).total_cmp(&together(b)))
}

/// Thieves mirror pictures; marks are also printed light on dark.
fn variants_of(kind: AssetKind) -> &'static [Variant] {
    const PLAIN: Variant = Variant {
        mirrored: false,
        inverted: false,
    };
    const MIRRORED: Variant = Variant {
        mirrored: true,
        inverted: false,
    };
    const INVERTED: Variant = Variant {
        mirrored: false,
        inverted: true,
    };
    match kind {
        AssetKind::Logo => &[PLAIN, INVERTED],
        AssetKind::Product | AssetKind::Packaging => &[PLAIN, MIRRORED],
    }
}

/// Looked for and not found is 0 agreeing places, not a missing number.
fn add_alignment(m: &mut Measurements, alignment: Option<&Alignment>) {
    m.n_matches = Some(alignment.map_or(0.0, |a| a.n_matches as f32));
    m.inliers = Some(alignment.map_or(0.0, |a| a.inliers as f32));
    m.inlier_ratio = Some(alignment.map_or(0.0, |a| a.inlier_ratio));
    m.reference_coverage = Some(alignment.map_or(0.0, |a| a.reference_coverage));
    m.photo_coverage = Some(alignment.map_or(0.0, |a| a.photo_coverage));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(lifts: &[f32]) -> Vec<Place> {
        let place = |(window_idx, &lift): (usize, &f32)| Place {
            window_idx,
            picture_id: PictureId(1),
            version: "as given".to_owned(),
            similarity: lift + 0.3,
            lift: Some(lift),
        };
        lifts.iter().enumerate().map(place).collect()
    }

    #[test]
    fn cells_may_prefer_a_window_that_is_not_the_closest() {
        let places = places(&[0.3, 0.25, 0.2]);
        let best = best_place(&places, &[Some(0.1), Some(0.2), Some(0.21)]);
        assert_eq!(best, Some((1, 0.2)));
    }

    #[test]
    fn of_windows_that_agree_alike_the_closest_is_taken() {
        let places = places(&[0.25, 0.25]);
        let best = best_place(&places, &[Some(0.5), Some(0.5)]);
        assert_eq!(best, Some((0, 0.5)));
    }

    #[test]
    fn the_closest_window_stays_where_its_picture_has_no_cells() {
        let places = places(&[0.3, 0.1]);
        assert_eq!(best_place(&places, &[None, Some(0.9)]), None);
        assert_eq!(best_place(&[], &[]), None);
        assert_eq!(best_place(&places, &[Some(0.2), None]), Some((0, 0.2)));
    }
}
