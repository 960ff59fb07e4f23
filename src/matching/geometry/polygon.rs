//! Areas of small polygons.

use super::transform::Point;

/// Signed area; positive when the corners go clockwise on a screen (y down).
pub fn area(corners: &[Point]) -> f64 {
    let n = corners.len();
    (0..n)
        .map(|i| cross(corners[i], corners[(i + 1) % n]))
        .sum::<f64>()
        / 2.0
}

fn cross(a: Point, b: Point) -> f64 {
    a[0] * b[1] - a[1] * b[0]
}

fn turn(a: Point, b: Point, c: Point) -> f64 {
    cross([b[0] - a[0], b[1] - a[1]], [c[0] - a[0], c[1] - a[1]])
}

/// Whether all four turns go the same way.
pub(super) fn is_convex(quad: &[Point; 4]) -> bool {
    let turns: [f64; 4] =
        std::array::from_fn(|i| turn(quad[i], quad[(i + 1) % 4], quad[(i + 2) % 4]));
    turns.iter().all(|&t| t > 0.0) || turns.iter().all(|&t| t < 0.0)
}

/// Smallest convex polygon around `points` (Andrew's monotone chain).
pub(super) fn hull(points: &[Point]) -> Vec<Point> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    sorted.dedup();
    if sorted.len() < 3 {
        return sorted;
    }
    let half = |points: &mut dyn Iterator<Item = Point>| {
        let mut chain: Vec<Point> = Vec::new();
        for p in points {
            while chain.len() >= 2 && turn(chain[chain.len() - 2], chain[chain.len() - 1], p) <= 0.0
            {
                chain.pop();
            }
            chain.push(p);
        }
        chain.pop();
        chain
    };
    let mut whole = half(&mut sorted.iter().copied());
    whole.extend(half(&mut sorted.iter().rev().copied()));
    whole
}

/// The part of `polygon` within a picture of `width` × `height` (Sutherland and Hodgman).
pub fn clipped(polygon: &[Point], width: f64, height: f64) -> Vec<Point> {
    let mut corners = polygon.to_vec();
    // (axis, limit, side on which it is kept)
    for (axis, limit, sign) in [
        (0, 0.0, 1.0),
        (0, width, -1.0),
        (1, 0.0, 1.0),
        (1, height, -1.0),
    ] {
        let depth = |p: Point| sign * (p[axis] - limit);
        let mut kept = Vec::with_capacity(corners.len() + 1);
        for i in 0..corners.len() {
            let (a, b) = (corners[i], corners[(i + 1) % corners.len()]);
            if depth(a) >= 0.0 {
                kept.push(a);
            }
            if (depth(a) >= 0.0) != (depth(b) >= 0.0) {
                let t = depth(a) / (depth(a) - depth(b));
                kept.push([a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]);
            }
        }
        corners = kept;
    }
    corners
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: [Point; 4] = [[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]];

    #[test]
    fn hull_leaves_out_what_is_inside() {
        let mut points = SQUARE.to_vec();
        points.extend([[5.0, 5.0], [1.0, 9.0], [10.0, 0.0], [5.0, 0.0]]);
        let hull = hull(&points);
        assert_eq!(hull.len(), 4);
        assert_eq!(area(&hull).abs(), 100.0);
        assert_eq!(area(&super::hull(&[[1.0, 1.0], [2.0, 2.0]])), 0.0);
        assert_eq!(area(&[]), 0.0);
    }

    #[test]
    fn clipping_keeps_the_part_inside() {
        assert_eq!(area(&clipped(&SQUARE, 5.0, 20.0)), 50.0);
        assert_eq!(
            clipped(&SQUARE.map(|p| [p[0] + 50.0, p[1]]), 20.0, 20.0),
            Vec::<Point>::new()
        );
        let around = SQUARE.map(|p| [p[0] * 9.0 - 40.0, p[1] * 9.0 - 40.0]);
        assert_eq!(area(&clipped(&around, 8.0, 6.0)), 48.0);
    }

    #[test]
    fn a_bow_tie_is_not_convex() {
        assert!(is_convex(&SQUARE));
        let mut tie = SQUARE;
        tie.swap(1, 2);
        assert!(!is_convex(&tie));
    }
}
