//! A picture scaled to its place on the sheet.

use image::RgbImage;

use super::canvas::{Pen, outline};
use crate::imaging::{self, Filter};
use crate::matching::geometry::polygon::clipped;
use crate::matching::geometry::transform::{Point, Transform, product};

/// Small pictures are enlarged up to this factor.
const MAX_ENLARGED: f64 = 6.0;

/// A picture at its place on the sheet.
pub(super) struct Panel {
    /// Drawn on as they are.
    pub pixels: RgbImage,
    /// Left top corner on the sheet, pixels.
    pub at: [u32; 2],
    /// Pixels of the sheet for one of the picture, across and down.
    scale: [f64; 2],
}

impl Panel {
    /// `picture` as large as fits into `room`.
    pub fn new(picture: &RgbImage, room: [f64; 2]) -> Self {
        let size = [picture.width(), picture.height()].map(f64::from);
        let factor = (room[0] / size[0]).min(room[1] / size[1]).min(MAX_ENLARGED);
        let [width, height] = size.map(|side| ((side * factor).round() as u32).max(1));
        Self {
            pixels: imaging::resize(picture, width, height, Filter::Bilinear),
            at: [0, 0],
            scale: [f64::from(width) / size[0], f64::from(height) / size[1]],
        }
    }

    pub fn width(&self) -> u32 {
        self.pixels.width()
    }

    pub fn height(&self) -> u32 {
        self.pixels.height()
    }

    /// A place of the picture in pixels of the panel.
    pub fn inside(&self, place: Point) -> Point {
        [place[0] * self.scale[0], place[1] * self.scale[1]]
    }

    /// A place of the picture in pixels of the sheet.
    pub fn on_sheet(&self, place: Point) -> Point {
        let [x, y] = self.inside(place);
        [x + f64::from(self.at[0]), y + f64::from(self.at[1])]
    }

    /// Outlines a part of the picture; where the part reaches beyond it, along its border.
    pub fn outline(&mut self, corners: &[Point], pen: Pen) {
        let border = pen.width / 2.0;
        let [width, height] = [self.width(), self.height()].map(|v| f64::from(v) - pen.width);
        let inside = |&place: &Point| self.inside(place).map(|v| v - border);
        let corners: Vec<Point> = corners.iter().map(inside).collect();
        let visible = clipped(&corners, width.max(0.0), height.max(0.0));
        let visible: Vec<Point> = visible.iter().map(|p| p.map(|v| v + border)).collect();
        outline(&mut self.pixels, &visible, pen);
    }

    /// `transform` into the picture, continued into the panel.
    pub fn continued(&self, transform: &Transform) -> Transform {
        let [sx, sy] = self.scale;
        product(
            &[[sx, 0.0, 0.0], [0.0, sy, 0.0], [0.0, 0.0, 1.0]],
            transform,
        )
    }
}
