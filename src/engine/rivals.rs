//! Which of several registered packs that lie in the same place of a photo is the one shown: flavours
//! of one line agree with each other's photos nearly as well as with their own.

use image::RgbImage;

use super::verify::Verified;
use super::{Engine, EngineError, ReferenceDetail};
use crate::domain::AssetKind;
use crate::matching::photometry::{Laid, lead};

/// Candidates that are compared with each other, those with the most agreeing points: about 2 ms a pair.
const MAX_RIVALS: usize = 5;

impl Engine {
    /// Adds how each pack or product fares against the others in its place.
    ///
    /// # Errors
    /// [`EngineError`] when a reference cannot be read.
    pub(super) fn add_rival_leads(
        &self,
        photo: &RgbImage,
        verified: &mut [Verified],
    ) -> Result<(), EngineError> {
        let mut rivals = Vec::new();
        for position in self.rivals(verified) {
            if let Some(detail) = self.reference_detail(verified[position].candidate.picture_id)? {
                rivals.push((position, detail));
            }
        }
        for (i, (a, a_detail)) in rivals.iter().enumerate() {
            for (b, b_detail) in &rivals[i + 1..] {
                if !verified[*a].region().is_same_place(&verified[*b].region()) {
                    continue;
                }
                let laid = laid(a_detail, &verified[*a]).zip(laid(b_detail, &verified[*b]));
                if let Some(lead) = laid.and_then(|(first, second)| lead(photo, first, second)) {
                    add_lead(&mut verified[*a], lead);
                    add_lead(&mut verified[*b], -lead);
                }
            }
        }
        Ok(())
    }

    /// Positions of the candidates that are compared with each other, the most agreeing points first.
    pub(super) fn rivals(&self, verified: &[Verified]) -> Vec<usize> {
        let registry = self.registry();
        let is_mark = |v: &Verified| {
            let asset = registry.active_asset(v.candidate.asset_id);
            asset.is_none_or(|asset| asset.draft.kind == AssetKind::Logo)
        };
        let mut aligned: Vec<(usize, usize)> = verified
            .iter()
            .enumerate()
            .filter(|(_, v)| !is_mark(v))
            .filter_map(|(position, v)| Some((v.firm_alignment()?.inliers, position)))
            .collect();
        // The sort is stable, and the candidates come in an order of their own.
        aligned.sort_by_key(|&(inliers, _)| std::cmp::Reverse(inliers));
        aligned.truncate(MAX_RIVALS);
        aligned.into_iter().map(|(_, position)| position).collect()
    }
}

fn laid<'r>(detail: &'r ReferenceDetail, verified: &'r Verified) -> Option<Laid<'r>> {
    Some(Laid {
        picture: &detail.pixels,
        transform: &verified.firm_alignment()?.transform,
    })
}

/// The least lead counts: who is beaten by one is not the one shown.
fn add_lead(verified: &mut Verified, lead: f32) {
    let least = &mut verified.candidate.measured.rival_lead;
    *least = Some(least.map_or(lead, |so_far| so_far.min(lead)));
}
