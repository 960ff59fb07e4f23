//! The numbers that verification gives and judgement reads.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Everything measured about one (photo, asset) pair. `None`: the stage did not run or had nothing
/// to measure, which is not the same as a zero; the judge has a weight for "missing" of its own.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Measurements {
    /// Cosine of a window of the photo with a reference of the asset, `-1..=1`; of all windows the one
    /// that exceeds chance most.
    pub window_similarity: Option<f32>,
    /// How far `window_similarity` exceeds what unrelated pictures reach by chance on this photo: for marks
    /// in windows of its size, for packs and products in all windows.
    pub window_lift: Option<f32>,
    /// Cosine of the whole photo with a whole reference, `-1..=1`.
    pub whole_similarity: Option<f32>,
    /// How far `whole_similarity` exceeds what unrelated pictures reach on this photo by chance.
    pub whole_lift: Option<f32>,
    /// How far `window_lift` stands above the best of any other brand; negative when another leads.
    pub window_margin: Option<f32>,
    /// How far `whole_similarity` stands above the best of any other brand; negative when another leads.
    pub whole_margin: Option<f32>,
    /// How well the cells of the reference agree with those of the best window, `-1..=1`.
    pub cell_agreement: Option<f32>,
    /// How far `cell_agreement` stands above the best of any other brand; negative when another leads.
    pub cell_margin: Option<f32>,
    /// Share of the photo that the best window covers, `0..=1`.
    pub view_area: Option<f32>,
    /// Differing bits of the 256-bit picture hash, best of the eight flips and turns, `0..=256`.
    pub hash_distance: Option<f32>,
    /// Tentative matches of local features.
    pub n_matches: Option<f32>,
    /// Local features that agree on one transform.
    pub inliers: Option<f32>,
    /// `inliers` over `n_matches`, `0..=1`.
    pub inlier_ratio: Option<f32>,
    /// Share of the reference that the agreeing features span, `0..=1`.
    pub reference_coverage: Option<f32>,
    /// Share of the photo that the warped reference covers, `0..=1`.
    pub photo_coverage: Option<f32>,
    /// How far `inliers` stands above the best of any other brand; negative when another leads.
    pub inlier_margin: Option<f32>,
    /// Normalised cross-correlation of brightness after warping, `-1..=1`.
    pub ncc: Option<f32>,
    /// Mean colour difference after warping, `0..=1`.
    pub colour_difference: Option<f32>,
    /// Share of the aligned area that disagrees, `0..=1`.
    pub residual_share: Option<f32>,
    /// How much better the reference agrees with the photo than any other that fits the same place,
    /// judged where the two differ, `-1..=1`; negative when another fits better. `None` for marks, and
    /// where nothing else fits.
    pub rival_lead: Option<f32>,
    /// Best likeness of a word read in the photo to a word mark of the asset, `0..=1`.
    pub word_similarity: Option<f32>,
    /// Letters of the words on the reference that words read in its place in the photo share with them;
    /// `None` when words were not read, or the reference has none.
    pub shared_letters: Option<f32>,
    /// How far `shared_letters` stands above the most of any other brand; negative when another leads.
    pub shared_margin: Option<f32>,
    /// 1 when the word that comes closest is an ordinary dictionary word, else 0.
    pub word_is_common: Option<f32>,
    /// How far the window over the word that comes closest exceeds chance, `-1..=1`: is the word drawn as on the
    /// reference, or only mentioned? `None` when no word comes close, or no window frames it.
    pub word_look: Option<f32>,
    /// Likeness of a word that misses a word mark by one or two letters, `0..=1`; 0 when none does.
    pub word_near_miss: Option<f32>,
}

impl Measurements {
    /// What windows are ranked by: how far the best exceeds chance, or its cosine where nothing is known
    /// of chance.
    pub fn window_standing(&self) -> Option<f32> {
        self.window_lift.or(self.window_similarity)
    }
}
