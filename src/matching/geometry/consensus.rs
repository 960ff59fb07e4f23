//! The transform on which most pairs agree.
//!
//! Every pair alone gives a turn, a size and a shift, because features have a direction and a size;
//! so all pairs are tried, nothing is drawn at random (Philbin et al. 2007), and the best few are
//! refined on what agrees with them: similarity, then affine, then homography.

use std::f64::consts::{PI, TAU};

use super::polygon;
use super::tentative::Pair;
use super::transform::{
    Point, Transform, apply, derivative, distance, fit_affine, fit_homography, fit_similarity,
    similarity, stretches,
};
use crate::matching::features::{Keypoint, LocalFeatures};

/// Fewest agreeing places that are more than chance can arrange.
pub(super) const MIN_INLIERS: usize = 4;
/// Hypotheses that are refined.
const N_REFINED: usize = 4;
/// Tolerances of the successive refinements, as shares of the reference's extent.
const TOLERANCES: [f64; 3] = [0.10, 0.05, 0.03];
/// Tolerance of the last count.
const FINAL_TOLERANCE: f64 = 0.025;
/// Pairs whose sizes differ from the transform's by a larger factor do not agree.
const MAX_SIZE_FACTOR: f64 = 2.0;
/// Pairs whose directions differ from the transform's by more do not agree, radians.
const MAX_TURN: f64 = 0.6;
/// Fewer places do not bear the six numbers of an affine map.
const MIN_AFFINE: usize = 5;
/// Fewer places do not bear the eight numbers of a homography.
const MIN_HOMOGRAPHY: usize = 10;
/// A mark may appear this much larger or smaller than its reference.
const MAX_STRETCH: f64 = 30.0;
/// A mark may be narrowed by slant to one in this.
const MAX_SLANT: f64 = 4.0;
/// Nearness of one corner over another under a homography.
const MAX_PERSPECTIVE: f64 = 3.0;
/// Least spread of agreeing places across their main direction, as a share of the extent.
const MIN_SPREAD: f64 = 0.02;

/// What the pairs agree on.
#[derive(Debug, Clone)]
pub(super) struct Consensus {
    /// Reference to photo, pixels.
    pub transform: Transform,
    /// Agreeing places, one to one: reference, photo.
    pub places: Vec<(Point, Point)>,
}

/// A pair's places and what it says of turn and size.
#[derive(Debug, Clone, Copy)]
struct Vote {
    from: Point,
    to: Point,
    /// Natural logarithm of how much larger it is in the photo.
    growth: f64,
    turn: f64,
    /// Uncertainty of the place in the photo, pixels.
    blur: f64,
}

impl Vote {
    fn new(from: &Keypoint, to: &Keypoint) -> Self {
        Self {
            from: place(from),
            to: place(to),
            growth: f64::from(to.sigma / from.sigma).ln(),
            turn: f64::from(to.angle - from.angle),
            blur: f64::from(to.sigma),
        }
    }

    fn transform(&self) -> Transform {
        similarity(self.from, self.to, self.growth.exp(), self.turn)
    }

    /// Whether turn and size are about the same.
    fn resembles(&self, other: &Self) -> bool {
        let turn = (self.turn - other.turn + PI).rem_euclid(TAU) - PI;
        turn.abs() < MAX_TURN && (self.growth - other.growth).abs() < MAX_SIZE_FACTOR.ln()
    }
}

pub(super) fn place(keypoint: &Keypoint) -> Point {
    [f64::from(keypoint.x), f64::from(keypoint.y)]
}

/// Finds the transform with the most agreeing places, at least [`MIN_INLIERS`].
pub(super) fn consensus(
    reference: &LocalFeatures,
    photo: &LocalFeatures,
    pairs: &[Pair],
) -> Option<Consensus> {
    let votes: Vec<Vote> = pairs
        .iter()
        .map(|p| {
            Vote::new(
                &reference.keypoints()[p.reference],
                &photo.keypoints()[p.photo],
            )
        })
        .collect();
    let extent = extent(reference);
    let mut order: Vec<(usize, usize)> = votes
        .iter()
        .enumerate()
        .map(|(i, seed)| {
            (
                agreeing(&votes, seed, &seed.transform(), extent, TOLERANCES[0]).len(),
                i,
            )
        })
        .filter(|(n, _)| *n >= MIN_INLIERS)
        .collect();
    // Most agreement first; the order of the pairs, best contrast first, breaks ties.
    order.sort_by_key(|&(n, i)| (std::cmp::Reverse(n), i));
    let size = reference.picture_size().map(f64::from);
    let mut best: Option<Consensus> = None;
    let mut tried: Vec<usize> = Vec::new();
    for (_, seed) in order {
        if tried.len() >= N_REFINED {
            break;
        }
        // A seed that agrees with an earlier one leads to the same transform.
        let known = tried.iter().any(|&t| {
            let (t, s) = (&votes[t], &votes[seed]);
            t.resembles(s)
                && distance(apply(&t.transform(), s.from), s.to)
                    < 0.5 * TOLERANCES[0] * extent * t.growth.exp()
        });
        if known {
            continue;
        }
        tried.push(seed);
        if let Some(found) = refined(&votes, &votes[seed], extent)
            && found.places.len() > best.as_ref().map_or(0, |b| b.places.len())
            && is_sane(&found, size, extent)
        {
            best = Some(found);
        }
    }
    best
}

/// Diagonal of the box around the features, pixels.
fn extent(reference: &LocalFeatures) -> f64 {
    let (mut low, mut high) = ([f64::MAX; 2], [f64::MIN; 2]);
    for p in reference.keypoints().iter().map(place) {
        for axis in 0..2 {
            low[axis] = low[axis].min(p[axis]);
            high[axis] = high[axis].max(p[axis]);
        }
    }
    distance(low, high).max(1.0)
}

/// Votes that agree with `transform` and resemble `seed`: `(error, index)`, pixels of the photo.
fn agreeing(
    votes: &[Vote],
    seed: &Vote,
    transform: &Transform,
    extent: f64,
    tolerance: f64,
) -> Vec<(f64, usize)> {
    let allowed = tolerance * extent * seed.growth.exp();
    let near = |(i, vote): (usize, &Vote)| {
        let error = distance(apply(transform, vote.from), vote.to);
        (error <= allowed + 0.5 * vote.blur && vote.resembles(seed)).then_some((error, i))
    };
    votes.iter().enumerate().filter_map(near).collect()
}

/// Places of the agreeing votes, best first, every place of either picture used once: features with
/// two directions are one place, and a small spot that collects many pairs is one place too.
fn one_to_one(votes: &[Vote], mut agreeing: Vec<(f64, usize)>) -> Vec<(Point, Point)> {
    agreeing.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut places: Vec<(Point, Point)> = Vec::new();
    for (_, i) in agreeing {
        let vote = &votes[i];
        let taken = |(from, to): &(Point, Point)| {
            distance(*from, vote.from) < 1.0 || distance(*to, vote.to) < 1.0
        };
        if !places.iter().any(taken) {
            places.push((vote.from, vote.to));
        }
    }
    places
}

fn refined(votes: &[Vote], seed: &Vote, extent: f64) -> Option<Consensus> {
    let mut transform = seed.transform();
    for tolerance in TOLERANCES {
        let places = one_to_one(votes, agreeing(votes, seed, &transform, extent, tolerance));
        if places.len() < 2 {
            return None;
        }
        let fit = if places.len() < MIN_AFFINE {
            fit_similarity
        } else {
            fit_affine
        };
        transform = fit(&places).or_else(|| fit_similarity(&places))?;
    }
    let count = |transform: &Transform| {
        one_to_one(
            votes,
            agreeing(votes, seed, transform, extent, FINAL_TOLERANCE),
        )
    };
    let mut places = count(&transform);
    // A homography is kept only where it explains at least as much.
    for _ in 0..2 {
        if places.len() < MIN_HOMOGRAPHY {
            break;
        }
        let Some(homography) = fit_homography(&places) else {
            break;
        };
        let more = count(&homography);
        if more.len() < places.len() {
            break;
        }
        (transform, places) = (homography, more);
    }
    (places.len() >= MIN_INLIERS).then_some(Consensus { transform, places })
}

/// Whether the transform is one that a camera makes, and the places hold it up.
fn is_sane(consensus: &Consensus, size: [f64; 2], extent: f64) -> bool {
    let m = &consensus.transform;
    let [width, height] = size;
    let corners = [[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]];
    let depths = corners.map(|p| m[2][0] * p[0] + m[2][1] * p[1] + m[2][2]);
    let (near, far) = depths
        .iter()
        .fold((f64::MAX, f64::MIN), |(a, b), &d| (a.min(d), b.max(d)));
    if near <= 0.0 || far > MAX_PERSPECTIVE * near {
        return false;
    }
    let [long, short] = stretches(&derivative(m, [width / 2.0, height / 2.0]));
    let stretched = short * MAX_STRETCH < 1.0 || long > MAX_STRETCH || long > MAX_SLANT * short;
    !stretched
        && polygon::is_convex(&corners.map(|p| apply(m, p)))
        && spread(&consensus.places) >= MIN_SPREAD * extent
}

/// Standard deviation of the places on the reference across their main direction, pixels.
fn spread(places: &[(Point, Point)]) -> f64 {
    let n = places.len() as f64;
    let mean = |axis: usize| places.iter().map(|p| p.0[axis]).sum::<f64>() / n;
    let (mx, my) = (mean(0), mean(1));
    let moment = |a: usize, ma: f64, b: usize, mb: f64| {
        places
            .iter()
            .map(|p| (p.0[a] - ma) * (p.0[b] - mb))
            .sum::<f64>()
            / n
    };
    let (xx, yy, xy) = (
        moment(0, mx, 0, mx),
        moment(1, my, 1, my),
        moment(0, mx, 1, my),
    );
    let smaller = (xx + yy) / 2.0 - ((xx - yy) / 2.0).hypot(xy);
    smaller.max(0.0).sqrt()
}
