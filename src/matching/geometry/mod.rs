//! Whether a reference lies in a photo, and where: features that agree on one transform.
//!
//! Gives facts, takes no decision: what the numbers mean is the judge's matter. Nothing is drawn at
//! random, so the same pictures give the same bits.

mod consensus;
pub mod polygon;
mod tentative;
pub mod transform;

use super::features::{LocalFeatures, Variant};
use consensus::{Consensus, MIN_INLIERS};
use transform::{Point, Transform, apply, distance, product};

/// How a reference lies in a photo.
#[derive(Debug, Clone, PartialEq)]
pub struct Alignment {
    /// From pixels of the reference to pixels of the photo, row by row.
    pub transform: Transform,
    /// Pairs of features that look alike.
    pub n_matches: usize,
    /// Places that agree on the transform, each counted once.
    pub inliers: usize,
    /// `inliers` over `n_matches`, `0..=1`.
    pub inlier_ratio: f32,
    /// Area that the agreeing places span over the area that all features of the reference span, `0..=1`.
    pub reference_coverage: f32,
    /// Share of the photo under the reference, `0..=1`.
    pub photo_coverage: f32,
    /// Mean distance of an agreeing place from where the transform puts it, pixels of the photo.
    pub reprojection_error_px: f32,
    /// Corners of the reference in the photo: top left, top right, bottom right, bottom left.
    pub quad: [[f32; 2]; 4],
    /// What had to be done to the reference for it to match.
    pub variant: Variant,
    /// Agreeing places: on the reference, in the photo; pixels.
    pub places: Vec<[[f32; 2]; 2]>,
}

/// Looks for the reference, and for `variants` of it, in the photo; the one with the most agreeing
/// places counts, the earlier one on ties. `None` when fewer than four places agree.
///
/// Sizes come in any ratio up to 30, slant up to one in four.
pub fn verify(
    reference: &LocalFeatures,
    photo: &LocalFeatures,
    variants: &[Variant],
) -> Option<Alignment> {
    let mut best: Option<Alignment> = None;
    for &variant in variants {
        let found = verify_variant(reference, photo, variant);
        if let Some(found) = found
            && best.as_ref().is_none_or(|b| found.inliers > b.inliers)
        {
            best = Some(found);
        }
    }
    best
}

fn verify_variant(
    reference: &LocalFeatures,
    photo: &LocalFeatures,
    variant: Variant,
) -> Option<Alignment> {
    if reference.len().min(photo.len()) < MIN_INLIERS {
        return None;
    }
    let turned = (variant != Variant::default()).then(|| reference.variant(variant));
    let turned = turned.as_ref().unwrap_or(reference);
    let pairs = tentative::pairs(turned, photo);
    if pairs.len() < MIN_INLIERS {
        return None;
    }
    let found = consensus::consensus(turned, photo, &pairs)?;
    Some(alignment(reference, photo, variant, pairs.len(), found))
}

/// The facts of a consensus, the mirroring taken back.
fn alignment(
    reference: &LocalFeatures,
    photo: &LocalFeatures,
    variant: Variant,
    n_matches: usize,
    found: Consensus,
) -> Alignment {
    let [width, height] = reference.picture_size().map(f64::from);
    let [photo_width, photo_height] = photo.picture_size().map(f64::from);
    let (mut transform, mut places) = (found.transform, found.places);
    if variant.mirrored {
        let mirror = [[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        transform = product(&transform, &mirror);
        places
            .iter_mut()
            .for_each(|(from, _)| from[0] = width - from[0]);
    }
    let quad = [[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]];
    let quad = quad.map(|p| apply(&transform, p));
    let covered = polygon::area(&polygon::clipped(&quad, photo_width, photo_height)).abs();
    let span = |points: &[Point]| polygon::area(&polygon::hull(points)).abs();
    let all: Vec<Point> = reference.keypoints().iter().map(consensus::place).collect();
    let agreeing: Vec<Point> = places.iter().map(|p| p.0).collect();
    let errors: f64 = places
        .iter()
        .map(|(p, q)| distance(apply(&transform, *p), *q))
        .sum();
    let share = |part: f64, whole: f64| (part / whole.max(1e-9)).clamp(0.0, 1.0) as f32;
    Alignment {
        n_matches,
        inliers: places.len(),
        inlier_ratio: share(places.len() as f64, n_matches as f64),
        reference_coverage: share(span(&agreeing), span(&all)),
        photo_coverage: share(covered, photo_width * photo_height),
        reprojection_error_px: (errors / places.len() as f64) as f32,
        quad: quad.map(as_f32),
        variant,
        places: places
            .iter()
            .map(|(p, q)| [as_f32(*p), as_f32(*q)])
            .collect(),
        transform,
    }
}

fn as_f32(point: Point) -> [f32; 2] {
    point.map(|v| v as f32)
}

#[cfg(test)]
mod tests;
