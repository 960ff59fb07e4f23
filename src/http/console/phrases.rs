//! Measurements, transforms and shortcomings, put for people who do not know the pipeline.

use std::f64::consts::PI;

use crate::domain::{Finding, Measurements, percent};
use crate::engine::{Examination, NEAR_HASH, NOTABLE_INLIERS, NOTABLE_WORD, Verified};
use crate::matching::geometry::Alignment;
use crate::matching::geometry::polygon::{area, clipped};
use crate::matching::geometry::transform::{apply, derivative, stretches};

/// A count with its noun.
pub(super) fn counted(n: usize, singular: &str, plural: &str) -> String {
    format!("{n} {}", if n == 1 { singular } else { plural })
}

/// How the registered picture lies in the photo: `mirrored, turned 12° clockwise, 23 % of it
/// cropped away; covers 8 % of the photo`. `photo_size`: pixels of the prepared photo.
pub(super) fn lie(alignment: &Alignment, photo_size: [u32; 2]) -> String {
    let mut parts = Vec::new();
    if alignment.variant.mirrored {
        parts.push("mirrored".to_owned());
    }
    if alignment.variant.inverted {
        parts.push("in negative".to_owned());
    }
    let degrees = turn(alignment);
    if degrees.abs() >= 2.0 {
        let way = if degrees > 0.0 {
            "clockwise"
        } else {
            "anticlockwise"
        };
        parts.push(format!("turned {:.0}° {way}", degrees.abs()));
    }
    if let Some(slant) = slant(alignment).filter(|&slant| slant >= 1.15) {
        parts.push(format!("squeezed {slant:.1} to 1"));
    }
    let quad = alignment.quad.map(|corner| corner.map(f64::from));
    let [width, height] = photo_size.map(f64::from);
    let whole = area(&quad).abs();
    let cropped = 1.0 - area(&clipped(&quad, width, height)).abs() / whole.max(1e-9);
    if cropped >= 0.02 {
        parts.push(format!("{:.0} % of it cropped away", 100.0 * cropped));
    }
    if parts.is_empty() {
        parts.push("upright and whole".to_owned());
    }
    let covered = share_words(f64::from(alignment.photo_coverage));
    format!("{}; covers {covered} of the photo", parts.join(", "))
}

fn share_words(share: f64) -> String {
    if share > 0.0 && share < 0.01 {
        "less than 1 %".to_owned()
    } else {
        format!("{:.0} %", 100.0 * share)
    }
}

/// Degrees, clockwise on a screen, by which its upper edge is turned; a mirrored one's is walked
/// the other way.
fn turn(alignment: &Alignment) -> f64 {
    let [from, to] = [alignment.quad[0], alignment.quad[1]].map(|c| c.map(f64::from));
    let (dx, dy) = if alignment.variant.mirrored {
        (from[0] - to[0], from[1] - to[1])
    } else {
        (to[0] - from[0], to[1] - from[1])
    };
    dy.atan2(dx) * 180.0 / PI
}

/// How much more it is stretched one way than across, 1 or more; at its middle.
fn slant(alignment: &Alignment) -> Option<f64> {
    let n = alignment.places.len() as f64;
    let middle = alignment.places.iter().fold([0.0, 0.0], |sum, [from, _]| {
        [
            sum[0] + f64::from(from[0]) / n,
            sum[1] + f64::from(from[1]) / n,
        ]
    });
    let [more, less] = stretches(&derivative(&alignment.transform, middle));
    let is_sound = apply(&alignment.transform, middle)
        .iter()
        .all(|v| v.is_finite());
    (is_sound && less.abs() > 1e-9).then(|| more / less.abs())
}

/// The most probable candidate of another brand: `Oatly / oat-milk, 2.1 %`.
pub(super) fn next_brand(examined: &Examination, finding: &Finding) -> Option<String> {
    let judged = examined.judgement.judged.iter();
    let mut others = judged.map(|judged| &judged.finding);
    let other = others.find(|other| other.brand != finding.brand)?;
    Some(format!(
        "{}, {}, at {}",
        other.brand,
        other.asset,
        percent(other.probability)
    ))
}

/// Likeness above chance that means little, as unrelated pictures reach it now and then.
const SMALL_LIFT: f32 = 0.1;

/// What speaks against a candidate, most telling first.
pub(super) fn why_not(verified: &Verified) -> Vec<String> {
    let m = &verified.candidate.measured;
    let margin = m.window_margin.or(m.whole_margin);
    let sentences = [
        m.inliers.filter(|&n| n < NOTABLE_INLIERS).map(few_points),
        m.inliers
            .is_none()
            .then(|| "Other assets were nearer, so its points were not compared.".to_owned()),
        m.window_lift.filter(|&lift| lift < SMALL_LIFT).map(|lift| {
            format!("No part of the photo looks like it: {lift:+.2} against unrelated pictures.")
        }),
        margin
            .filter(|&margin| margin < 0.0)
            .map(|margin| format!("Another brand is nearer, by {:.2}.", -margin)),
        m.word_similarity
            .is_some_and(|likeness| likeness < NOTABLE_WORD)
            .then(|| "None of its words was read in the photo.".to_owned()),
        m.hash_distance.filter(|&d| d > NEAR_HASH).map(|d| {
            format!("As whole pictures they differ in {d:.0} of 256 bits; copies differ in few.")
        }),
    ];
    sentences.into_iter().flatten().collect()
}

fn few_points(n: f32) -> String {
    match n {
        0.0 => "No points of it were found again under one transform.".to_owned(),
        n => {
            format!("Only {n:.0} of its points agree under one transform; below 6 that is chance.")
        }
    }
}

/// One measurement.
pub(super) struct Row {
    pub name: &'static str,
    pub value: String,
    /// How to read the value.
    pub meaning: &'static str,
}

/// All that was measured, in words.
pub(super) fn rows(m: &Measurements) -> Vec<Row> {
    let row = |name, value: Option<String>, meaning| {
        value.map(|value| Row {
            name,
            value,
            meaning,
        })
    };
    let number = |value: Option<f32>| value.map(|v| format!("{v:.2}"));
    let signed = |value: Option<f32>| value.map(|v| format!("{v:+.2}"));
    let share = |value: Option<f32>| value.map(|v| share_words(f64::from(v)));
    let points = m.inliers.zip(m.n_matches);
    let word = |value: Option<f32>| value.map(|v| if v > 0.0 { "yes" } else { "no" }.to_owned());
    let rows = [
        row(
            "Points that agree",
            points.map(|(n, of)| format!("{n:.0} of {of:.0}")),
            "details of the registered picture found again under one transform, of all that look alike",
        ),
        row(
            "Part of the picture they span",
            share(m.reference_coverage),
            "much is convincing, a corner is not",
        ),
        row(
            "Part of the photo it covers",
            share(m.photo_coverage),
            "where the transform puts it",
        ),
        row(
            "Lead in points",
            m.inlier_margin.map(|v| format!("{v:+.0}")),
            "over the best of any other brand",
        ),
        row(
            "Brightness after alignment",
            number(m.ncc),
            "1: the same; 0: unrelated",
        ),
        row(
            "Colour difference",
            number(m.colour_difference),
            "0: none; 1: black against white",
        ),
        row(
            "Part that disagrees",
            share(m.residual_share),
            "of the aligned area",
        ),
        row(
            "Likeness of a part",
            number(m.window_similarity),
            "best window of the photo; 1: the same",
        ),
        row(
            "– above chance",
            signed(m.window_lift),
            "over what unrelated pictures reach on this photo",
        ),
        row(
            "– lead",
            signed(m.window_margin),
            "over the best of any other brand; negative: another is nearer",
        ),
        row("– size of that part", share(m.view_area), "of the photo"),
        row(
            "Likeness of the whole",
            number(m.whole_similarity),
            "whole photo against the whole picture; 1: the same",
        ),
        row(
            "– above chance",
            signed(m.whole_lift),
            "over what unrelated pictures reach on this photo",
        ),
        row(
            "– lead",
            signed(m.whole_margin),
            "over the best of any other brand; negative: another is nearer",
        ),
        row(
            "Bits that differ",
            m.hash_distance.map(|d| format!("{d:.0} of 256")),
            "of the pictures' hashes, best of eight flips and turns; copies differ in few",
        ),
        row(
            "Likeness of words",
            number(m.word_similarity),
            "a word in the photo against its word marks; 1: the same",
        ),
        row(
            "– drawn like the mark",
            signed(m.word_look),
            "look of the word's place, over chance; near 0: the brand is only mentioned",
        ),
        row(
            "The word is an ordinary one",
            word(m.word_is_common),
            "then it says little",
        ),
        row(
            "A word is misspelt",
            word(m.word_near_miss),
            "misses a word mark by a letter or two",
        ),
    ];
    rows.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::features::Variant;

    /// A reference of 100 × 50 pixels whose corners lie at `quad`.
    fn alignment(quad: [[f32; 2]; 4], mirrored: bool) -> Alignment {
        let middle = [[50.0, 25.0], [0.0, 0.0]];
        Alignment {
            transform: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            n_matches: 9,
            inliers: 1,
            inlier_ratio: 0.1,
            reference_coverage: 0.5,
            photo_coverage: 0.125,
            reprojection_error_px: 0.5,
            quad,
            variant: Variant {
                mirrored,
                inverted: false,
            },
            places: vec![middle],
        }
    }

    #[test]
    fn how_a_picture_lies_is_told_in_words() {
        for (quad, mirrored, told) in [
            (
                [[0.0, 0.0], [100.0, 0.0], [100.0, 50.0], [0.0, 50.0]],
                false,
                "upright and whole; covers 12 % of the photo",
            ),
            (
                [[100.0, 0.0], [0.0, 0.0], [0.0, 50.0], [100.0, 50.0]],
                true,
                "mirrored; covers 12 % of the photo",
            ),
            (
                [[50.0, 0.0], [50.0, 100.0], [0.0, 100.0], [0.0, 0.0]],
                false,
                "turned 90° clockwise; covers 12 % of the photo",
            ),
            (
                [[-50.0, 0.0], [50.0, 0.0], [50.0, 50.0], [-50.0, 50.0]],
                false,
                "50 % of it cropped away; covers 12 % of the photo",
            ),
        ] {
            assert_eq!(lie(&alignment(quad, mirrored), [200, 200]), told);
        }
    }

    #[test]
    fn what_was_not_measured_is_no_row() {
        let measured = Measurements {
            window_similarity: Some(0.812),
            window_lift: Some(-0.1),
            ..Measurements::default()
        };
        let shown: Vec<_> = rows(&measured).into_iter().map(|row| row.value).collect();
        assert_eq!(shown, ["0.81", "-0.10"]);
    }
}
