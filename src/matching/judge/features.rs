//! Measurements as numbers that a linear model can weigh: the more, the likelier.

use serde::{Deserialize, Serialize};

use crate::domain::{FindingKind, Measurements};

/// One number that a judge weighs; all grow with the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// Cosine of the best window.
    WindowSimilarity,
    /// The same, above chance.
    WindowLift,
    /// Lead of the best window over other brands.
    WindowMargin,
    /// Cosine of the whole pictures.
    WholeSimilarity,
    /// The same, above chance.
    WholeLift,
    /// Lead of the whole picture over other brands.
    WholeMargin,
    /// Hash bits that agree beyond chance, `0..=1`.
    HashAgreement,
    /// Logarithm of the agreeing local features.
    Inliers,
    /// Share of the matches that agree.
    InlierRatio,
    /// Lead in agreeing features over other brands, on a logarithmic scale.
    InlierMargin,
    /// Share of the reference that is spanned.
    ReferenceCoverage,
    /// Correlation of brightness after alignment.
    Ncc,
    /// The same from where only copies reach: another photo of the same thing stays below.
    CopyNcc,
    /// Likeness of colour after alignment.
    ColourAgreement,
    /// Share of the aligned area that agrees.
    ResidualAgreement,
    /// Lead over other references in the same place, where they differ.
    RivalLead,
    /// Agreement of the best window and the reference, cell by cell.
    CellAgreement,
    /// How far that leads over the best other brand.
    CellMargin,
    /// Lead in letters of words on the reference that are read in the photo over other brands, on a
    /// logarithmic scale.
    SharedMargin,
    /// What the likeness of a word to a word mark says, from the point where it means anything.
    Word,
    /// The same, only for words that no dictionary holds.
    RareWord,
    /// The same, as far as the word looks like the mark: in ordinary type a name is only mentioned.
    DrawnWord,
}

/// Bits of 256 that differ between unrelated pictures, less a margin; nearer says something.
const CHANCE_HASH_DISTANCE: f32 = 110.0;
/// Correlation that three in four photos of the same pack by another camera do not reach.
const LEAST_COPY_NCC: f32 = 0.65;
/// Likeness of words under which nothing is said.
const LEAST_WORD_SIMILARITY: f32 = 0.45;
/// Likeness above chance from which a word is drawn as the mark has it: of the drawn photos' words that are
/// part of a mark one in four reaches it, of those that only mention a brand none.
const SAME_LOOK: f32 = 0.3;

impl Feature {
    /// Whether it only says which of several that fit is the one: measured of next to no candidate in
    /// labelled pictures, and decisive where it is.
    pub(super) fn is_contest(self) -> bool {
        self == Self::RivalLead
    }

    /// The number, or `None` when what it is made from was not measured.
    pub fn value(self, m: &Measurements) -> Option<f64> {
        let value = match self {
            Self::WindowSimilarity => m.window_similarity,
            Self::WindowLift => m.window_lift,
            Self::WindowMargin => m.window_margin,
            Self::WholeSimilarity => m.whole_similarity,
            Self::WholeLift => m.whole_lift,
            Self::WholeMargin => m.whole_margin,
            Self::HashAgreement => m
                .hash_distance
                .map(|d| (1.0 - d / CHANCE_HASH_DISTANCE).max(0.0)),
            Self::Inliers => m.inliers.map(f32::ln_1p),
            Self::InlierRatio => m.inlier_ratio,
            Self::InlierMargin => m.inlier_margin.map(signed_ln_1p),
            Self::ReferenceCoverage => m.reference_coverage,
            Self::Ncc => m.ncc.map(|v| v.max(0.0)),
            Self::CopyNcc => m
                .ncc
                .map(|v| ((v - LEAST_COPY_NCC) / (1.0 - LEAST_COPY_NCC)).max(0.0)),
            Self::ColourAgreement => m.colour_difference.map(|v| 1.0 - v),
            Self::ResidualAgreement => m.residual_share.map(|v| 1.0 - v),
            Self::RivalLead => m.rival_lead,
            Self::CellAgreement => m.cell_agreement,
            Self::CellMargin => m.cell_margin,
            Self::SharedMargin => m.shared_margin.map(signed_ln_1p),
            Self::Word => m.word_similarity.map(word_evidence),
            Self::RareWord => m.word_similarity.map(|similarity| {
                let is_common = m.word_is_common.unwrap_or(0.0);
                word_evidence(similarity) * (1.0 - is_common)
            }),
            Self::DrawnWord => m.word_similarity.map(|similarity| {
                let look = m.word_look.unwrap_or(0.0);
                word_evidence(similarity) * (look / SAME_LOOK).clamp(0.0, 1.0)
            }),
        };
        value.map(f64::from)
    }
}

fn signed_ln_1p(value: f32) -> f32 {
    value.signum() * value.abs().ln_1p()
}

/// Cubed: how many words lie within some letters of a mark grows much faster than the letters do.
fn word_evidence(similarity: f32) -> f32 {
    ((similarity - LEAST_WORD_SIMILARITY) / (1.0 - LEAST_WORD_SIMILARITY))
        .max(0.0)
        .powi(3)
}

/// What the judge of `kind` weighs.
pub fn features_of(kind: FindingKind) -> &'static [Feature] {
    use Feature::*;
    match kind {
        FindingKind::StolenPhoto => &[
            HashAgreement,
            WholeSimilarity,
            WholeLift,
            WindowLift,
            CellAgreement,
            Inliers,
            InlierRatio,
            ReferenceCoverage,
            CopyNcc,
            ColourAgreement,
            ResidualAgreement,
        ],
        FindingKind::LogoPresent => &[
            WindowSimilarity,
            WindowLift,
            WindowMargin,
            CellAgreement,
            CellMargin,
            WholeLift,
            WholeMargin,
            HashAgreement,
            Inliers,
            InlierMargin,
            ReferenceCoverage,
            Ncc,
            Word,
            RareWord,
            DrawnWord,
        ],
        // Has no judge of its own: a misspelt mark is as sure as the mark.
        FindingKind::AlteredLogo => &[],
        // Not the share of matches that agree, nor the letters as such: on drawn packs they say far more
        // than on real ones.
        FindingKind::LookalikeProduct => &[
            WindowSimilarity,
            WindowLift,
            WindowMargin,
            CellAgreement,
            CellMargin,
            WholeLift,
            WholeMargin,
            Inliers,
            InlierMargin,
            ReferenceCoverage,
            RivalLead,
            SharedMargin,
            Word,
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_ordinary_type_says_less_than_one_drawn_like_the_mark() {
        let drawn = |word_look| {
            let measured = Measurements {
                word_similarity: Some(1.0),
                word_look,
                ..Measurements::default()
            };
            Feature::DrawnWord.value(&measured)
        };
        assert_eq!(drawn(Some(-0.1)), Some(0.0));
        // Too small for any window.
        assert_eq!(drawn(None), Some(0.0));
        assert!(drawn(Some(0.15)) > drawn(Some(0.0)));
        assert_eq!(drawn(Some(0.6)), Some(1.0));
        // Nothing was read at all: not the same as no word.
        assert_eq!(Feature::DrawnWord.value(&Measurements::default()), None);
    }
}
