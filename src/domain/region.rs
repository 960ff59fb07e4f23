//! Where something is in a picture.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An axis-aligned box in pixels of the upright photo as the seller sent it (before any scaling);
/// origin at the top left corner.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Region {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width, more than 0.
    pub w: f32,
    /// Height, more than 0.
    pub h: f32,
}

/// Overlap, `0..=1`, beyond which two boxes are the same place.
const SAME_PLACE: f32 = 0.3;

impl Region {
    /// A box from its left, top, width and height.
    pub fn new(x: f32, y: f32, w: f32, h: f32) -> Self {
        Self { x, y, w, h }
    }

    /// The smallest upright box that holds all corners of `quad`.
    pub fn around(quad: &[[f32; 2]; 4]) -> Self {
        let of = |axis: usize, pick: fn(f32, f32) -> f32, start: f32| {
            quad.iter().map(|corner| corner[axis]).fold(start, pick)
        };
        let [x, y] = [0, 1].map(|axis| of(axis, f32::min, f32::INFINITY));
        let [right, bottom] = [0, 1].map(|axis| of(axis, f32::max, f32::NEG_INFINITY));
        Self::new(x, y, right - x, bottom - y)
    }

    /// The box with `share` of its own width and height added on each side.
    pub fn grown(&self, share: f32) -> Self {
        let (dx, dy) = (share * self.w, share * self.h);
        Self::new(
            self.x - dx,
            self.y - dy,
            self.w + 2.0 * dx,
            self.h + 2.0 * dy,
        )
    }

    /// Whether the middle of `other` lies inside.
    pub fn holds_middle_of(&self, other: &Self) -> bool {
        let (x, y) = (other.x + other.w / 2.0, other.y + other.h / 2.0);
        (self.x..=self.x + self.w).contains(&x) && (self.y..=self.y + self.h).contains(&y)
    }

    /// Pixels inside.
    pub fn area(&self) -> f32 {
        self.w * self.h
    }

    /// The box in a picture `factor` times as large.
    pub fn scaled(&self, factor: f32) -> Self {
        Self::new(
            self.x * factor,
            self.y * factor,
            self.w * factor,
            self.h * factor,
        )
    }

    /// The part that lies within a picture of `width` × `height` pixels, at least one pixel large.
    pub fn clipped(&self, width: f32, height: f32) -> Self {
        let x = self.x.clamp(0.0, (width - 1.0).max(0.0));
        let y = self.y.clamp(0.0, (height - 1.0).max(0.0));
        let right = (self.x + self.w).clamp(x + 1.0, width.max(x + 1.0));
        let bottom = (self.y + self.h).clamp(y + 1.0, height.max(y + 1.0));
        Self::new(x, y, right - x, bottom - y)
    }

    /// Whether the two overlap so far that one thing is meant by both.
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.intersection_over_union(other) > SAME_PLACE
    }

    /// Pixels inside of both.
    pub fn shared_area(&self, other: &Self) -> f32 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        w.max(0.0) * h.max(0.0)
    }

    /// Shared area over joint area, `0..=1`.
    pub fn intersection_over_union(&self, other: &Self) -> f32 {
        let shared = self.shared_area(other);
        let joint = self.area() + other.area() - shared;
        if joint > 0.0 { shared / joint } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_around_a_turned_one_holds_its_middle_until_it_is_moved_away() {
        let quad = [[10.0, 0.0], [20.0, 10.0], [10.0, 20.0], [0.0, 10.0]];
        let around = Region::around(&quad);
        assert_eq!(around, Region::new(0.0, 0.0, 20.0, 20.0));
        let beside = Region::new(18.0, 0.0, 10.0, 20.0);
        assert!(around.holds_middle_of(&around) && !around.holds_middle_of(&beside));
        assert_eq!(around.grown(0.25), Region::new(-5.0, -5.0, 30.0, 30.0));
        assert!(around.grown(0.25).holds_middle_of(&beside));
    }

    #[test]
    fn overlap_is_symmetric_and_bounded() {
        let a = Region::new(0.0, 0.0, 10.0, 10.0);
        let b = Region::new(5.0, 0.0, 10.0, 10.0);
        assert!((a.intersection_over_union(&b) - 1.0 / 3.0).abs() < 1e-6);
        assert_eq!(a.intersection_over_union(&b), b.intersection_over_union(&a));
        assert_eq!(
            a.intersection_over_union(&Region::new(20.0, 0.0, 1.0, 1.0)),
            0.0
        );
    }

    #[test]
    fn clipping_never_leaves_the_picture_or_an_empty_box() {
        let clipped = Region::new(-5.0, 90.0, 20.0, 40.0).clipped(100.0, 100.0);
        assert_eq!(clipped, Region::new(0.0, 90.0, 15.0, 10.0));
        let outside = Region::new(500.0, 500.0, 10.0, 10.0).clipped(100.0, 100.0);
        assert!(outside.w >= 1.0 && outside.x + outside.w <= 100.0);
    }
}
