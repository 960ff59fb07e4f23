//! The picture of one finding: what is registered, the place in the photo, the points that agree, and
//! the one laid over the other.
//!
//! From left to right: the registered picture above a close-up of the place where it was found; the
//! whole photo with that place outlined and the agreeing points joined with those of the registered
//! picture; the photo with the registered picture half transparent on it. Without a transform there is
//! nothing to join and to lay over: the first two stand side by side. The same input gives the same
//! pixels.

mod canvas;
mod panel;

use image::{Rgb, RgbImage, imageops};

use crate::domain::Region;
use crate::imaging::{self, ImagingError, Label};
use crate::matching::geometry::Alignment;
use crate::matching::geometry::transform::Point;
use crate::report::wrap;
use canvas::{Pen, dot, lay_over, line};
use panel::Panel;

/// What is drawn. Places are in pixels of the picture that they are of.
pub(super) struct Sheet<'a> {
    /// The upright photo.
    pub photo: &'a RgbImage,
    /// The registered picture that came closest, as it was compared.
    pub reference: &'a RgbImage,
    /// How it lies in the photo, if that is known.
    pub alignment: Option<&'a Alignment>,
    /// Where in the photo.
    pub region: Region,
    /// Where a word mark was read in the photo.
    pub word: Option<[[f32; 2]; 4]>,
    /// First line of the caption.
    pub title: String,
    /// The other lines.
    pub lines: Vec<String>,
    /// What is written above the registered picture.
    pub reference_name: String,
}

/// Largest size of the whole photo, pixels; two of them and the rest fit a wide screen.
const PHOTO: [f64; 2] = [800.0, 640.0];
/// Largest size of the registered picture, and of the close-up.
const SMALL: [f64; 2] = [340.0, 290.0];
/// Room around and between pictures.
const GAP: u32 = 20;
/// Room for the line above a picture.
const HEAD: u32 = 24;
/// Narrower sheets would break the caption's lines too often.
const MIN_WIDTH: u32 = 1000;
/// What stands above a picture has at least this much room.
const MIN_LEFT: u32 = 280;
/// Points that are joined; more lines hide the photo. All are drawn as dots.
const MAX_JOINED: usize = 40;
/// Opacity of the registered picture on the photo.
const OVERLAY: f64 = 0.5;
/// Room around the place in the close-up, as a share of its longer side.
const CLOSE_UP_MARGIN: f32 = 0.12;

const GROUND: Rgb<u8> = Rgb([246, 246, 244]);
const INK: [u8; 3] = [34, 34, 34];
const SOFT_INK: [u8; 3] = [90, 90, 90];
const PLACE: Pen = Pen {
    colour: [0, 230, 118],
    width: 3.0,
    opacity: 1.0,
};
const WORD: Pen = Pen {
    colour: [255, 170, 0],
    width: 2.0,
    opacity: 1.0,
};
/// Colours of the joined points in turn, so that a line can be followed.
const JOINED: [[u8; 3]; 6] = [
    [0, 230, 118],
    [255, 214, 0],
    [255, 109, 0],
    [41, 182, 246],
    [236, 64, 222],
    [255, 82, 82],
];

impl Sheet<'_> {
    /// The whole sheet.
    ///
    /// # Errors
    /// [`ImagingError`] when the writing on it cannot be drawn.
    pub fn draw(&self) -> Result<RgbImage, ImagingError> {
        let mut reference = Panel::new(self.reference, SMALL);
        let mut close_up = self.close_up();
        let mut photo = Panel::new(self.photo, PHOTO);
        let mut overlay = self.alignment.map(|alignment| self.overlay(alignment));
        photo.outline(&self.place(), PLACE);
        if let Some(word) = self.word {
            photo.outline(&word.map(to_f64), WORD);
        }

        let left = reference.width().max(close_up.width()).max(MIN_LEFT);
        let n_photos = 1 + u32::from(overlay.is_some());
        let width = (GAP + left + n_photos * (GAP + photo.width()) + GAP).max(MIN_WIDTH);
        let caption = self.caption(width);
        let top = caption.last().map_or(GAP, |last| last.at[1] as u32) + GAP + HEAD;
        reference.at = [GAP, top];
        close_up.at = [GAP, top + reference.height() + GAP + HEAD];
        photo.at = [GAP + left + GAP, top];
        if let Some(overlay) = &mut overlay {
            overlay.at = [photo.at[0] + photo.width() + GAP, top];
        }
        let bottom = (close_up.at[1] + close_up.height()).max(top + photo.height());

        let mut sheet = RgbImage::from_pixel(width, bottom + GAP, GROUND);
        let panels = [
            Some(&reference),
            Some(&close_up),
            Some(&photo),
            overlay.as_ref(),
        ];
        for panel in panels.into_iter().flatten() {
            let [x, y] = panel.at.map(i64::from);
            imageops::replace(&mut sheet, &panel.pixels, x, y);
        }
        if let Some(alignment) = self.alignment {
            join(&mut sheet, alignment, &reference, &photo);
        }
        let heads = self.heads();
        let headed = panels.into_iter().flatten().zip(heads);
        let mut labels = caption;
        labels.extend(headed.map(|(panel, text)| head(panel, text)));
        imaging::write_labels(&mut sheet, &labels)?;
        Ok(sheet)
    }

    /// Corners of the place in the photo.
    fn place(&self) -> [Point; 4] {
        match self.alignment {
            Some(alignment) => alignment.quad.map(to_f64),
            None => {
                let r = self.region;
                [
                    [r.x, r.y],
                    [r.x + r.w, r.y],
                    [r.x + r.w, r.y + r.h],
                    [r.x, r.y + r.h],
                ]
                .map(to_f64)
            }
        }
    }

    /// The word, where only that is known to be in its place.
    fn lone_word(&self) -> Option<[Point; 4]> {
        let word = self.word.filter(|_| self.alignment.is_none());
        word.map(|corners| corners.map(to_f64))
    }

    /// The place with some of its surroundings, enlarged.
    fn close_up(&self) -> Panel {
        let (corners, pen) = match self.lone_word() {
            Some(word) => (word, WORD),
            None => (self.place(), PLACE),
        };
        let [width, height] = [self.photo.width(), self.photo.height()].map(|v| v as f32);
        let place = bounds(&corners).clipped(width, height);
        let margin = (CLOSE_UP_MARGIN * place.w.max(place.h)).max(6.0);
        let around = Region::new(
            (place.x - margin).floor(),
            (place.y - margin).floor(),
            (place.w + 2.0 * margin).ceil(),
            (place.h + 2.0 * margin).ceil(),
        )
        .clipped(width, height);
        let mut panel = Panel::new(&imaging::crop(self.photo, around), SMALL);
        let origin = [around.x.round(), around.y.round()].map(f64::from);
        let corners = corners.map(|[x, y]| [x - origin[0], y - origin[1]]);
        panel.outline(&corners, Pen { width: 2.0, ..pen });
        panel
    }

    /// The photo with the registered picture on it.
    fn overlay(&self, alignment: &Alignment) -> Panel {
        let mut panel = Panel::new(self.photo, PHOTO);
        let negative = alignment.variant.inverted;
        let negative = negative.then(|| imaging::invert(self.reference));
        let reference = negative.as_ref().unwrap_or(self.reference);
        let transform = panel.continued(&alignment.transform);
        lay_over(&mut panel.pixels, reference, &transform, OVERLAY);
        panel.outline(
            &self.place(),
            Pen {
                width: 1.5,
                ..PLACE
            },
        );
        panel
    }

    fn caption(&self, width: u32) -> Vec<Label> {
        let mut labels = Vec::new();
        let mut y = GAP as f32;
        let mut add = |text: &str, size_px: f32, bold: bool, colour: [u8; 3]| {
            // A letter of this font is about half as wide as it is high.
            let columns = ((width - 2 * GAP) as f32 / (0.53 * size_px)) as usize;
            for text in wrap(text, columns) {
                y += (1.35 * size_px).ceil();
                labels.push(Label {
                    at: [GAP as f32, y],
                    text,
                    size_px,
                    bold,
                    colour,
                });
            }
        };
        add(&self.title, 24.0, true, INK);
        for text in &self.lines {
            add(text, 15.0, false, INK);
        }
        labels
    }

    /// What stands above each panel.
    fn heads(&self) -> [String; 4] {
        let points = self.alignment.map_or(String::new(), |alignment| {
            let n = alignment.places.len();
            let joined = if n > MAX_JOINED {
                format!(", {MAX_JOINED} of them joined")
            } else {
                String::new()
            };
            format!(", {n} points agree{joined}")
        });
        let how = match self.alignment.map(|alignment| alignment.variant) {
            Some(variant) if variant.mirrored => ", mirrored",
            Some(variant) if variant.inverted => ", in negative",
            _ => "",
        };
        [
            format!("registered: {}", self.reference_name),
            match self.lone_word() {
                Some(_) => "the word in the photo".to_owned(),
                None => "its place in the photo".to_owned(),
            },
            format!("the photo{points}"),
            format!("the registered picture laid over it{how}"),
        ]
    }
}

/// The box around `corners`; what is no number is left out.
fn bounds(corners: &[Point; 4]) -> Region {
    let of = |axis: usize, pick: fn(f64, f64) -> f64, start: f64| {
        let along = corners.iter().map(|corner| corner[axis]);
        along.fold(start, pick).clamp(-1e6, 1e6) as f32
    };
    let [x, y] = [0, 1].map(|axis| of(axis, f64::min, f64::INFINITY));
    let [right, bottom] = [0, 1].map(|axis| of(axis, f64::max, f64::NEG_INFINITY));
    Region::new(x, y, right - x, bottom - y)
}

fn to_f64(place: [f32; 2]) -> Point {
    place.map(f64::from)
}

fn head(panel: &Panel, text: String) -> Label {
    // About the letters that fit above the panel.
    let most = (panel.width().max(MIN_LEFT) as f32 / 7.0) as usize;
    let text = if text.chars().count() > most {
        text.chars().take(most - 1).chain(['…']).collect()
    } else {
        text
    };
    Label {
        at: [panel.at[0] as f32, panel.at[1] as f32 - 7.0],
        text,
        size_px: 14.0,
        bold: false,
        colour: SOFT_INK,
    }
}

/// Draws the agreeing points in both pictures, and joins some of them, spread over all.
fn join(sheet: &mut RgbImage, alignment: &Alignment, reference: &Panel, photo: &Panel) {
    let places = &alignment.places;
    let step = places.len().div_ceil(MAX_JOINED).max(1);
    for (i, [from, to]) in places.iter().enumerate() {
        let pen = Pen {
            colour: JOINED[i / step % JOINED.len()],
            width: 1.2,
            opacity: 0.75,
        };
        let [from, to] = [
            reference.on_sheet(to_f64(*from)),
            photo.on_sheet(to_f64(*to)),
        ];
        if i % step == 0 {
            line(sheet, from, to, pen);
        }
        let pen = Pen {
            width: 4.0,
            opacity: 1.0,
            ..pen
        };
        dot(sheet, from, pen);
        dot(sheet, to, pen);
    }
}

#[cfg(test)]
mod tests;
