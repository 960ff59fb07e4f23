//! Whether the pixels agree once a reference lies on the photo: tells an edited copy of a picture from
//! another photograph of the same thing, from another colourway and from the same scene with another
//! mark on it.

mod colour;
mod levels;
mod rivals;
mod samples;

use image::RgbImage;

use super::geometry::transform::Transform;
use colour::distance_of_colours;
use levels::Levels;
use samples::{Grid, MARGIN, Moments, Samples, cell_corners, cell_moments, mean_colour, shifts};

pub use rivals::{Laid, lead};

/// How far the aligned pixels agree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Normalised cross-correlation of luminance, `-1..=1`.
    pub ncc: f32,
    /// Mean difference of colour, CIE76 ΔE over 100, `0..=1`, after the best gain and offset of each
    /// channel: a filter over the whole picture counts little, another colourway much.
    pub colour_difference: f32,
    /// Share of the cells of 8 × 8 samples that differ in structure or in colour beyond
    /// brightness and contrast, `0..=1`.
    pub residual_share: f32,
    /// Share of the reference that lies within the photo, `0..=1`.
    pub overlap: f32,
}

/// Fewer shared cells say nothing.
const MIN_CELLS: usize = 6;
/// Grey levels squared that JPEG and scaling add to a cell's variance.
const NOISE: f32 = 30.0;
/// A cell with more variance has structure, grey levels squared.
const STRUCTURED: f32 = 80.0;
/// Structure agrees from this correlation on.
const MIN_CORRELATION: f32 = 0.6;
/// Means of a cell further apart than this in a channel are another colour, levels.
const MAX_MEAN_DIFFERENCE: f32 = 36.0;

/// Compares the pixels under `transform` (reference to photo, pixels). `None` when the reference would
/// be under 24 samples large or less than six cells of it lie within the photo.
pub fn agreement(
    reference: &RgbImage,
    photo: &RgbImage,
    transform: &Transform,
) -> Option<Agreement> {
    let grid = Grid::new(reference, transform)?;
    let photo = grid.of_photo(photo, transform)?;
    let reference = grid.of_reference(reference);
    let corners = cell_corners(&photo);
    if corners.len() < MIN_CELLS {
        return None;
    }
    let colours: Vec<_> = corners
        .iter()
        .map(|&corner| (mean_colour(&reference, corner), mean_colour(&photo, corner)))
        .collect();
    let levels = Levels::fit(&colours);
    let (mut differing, mut colour) = (0, 0.0);
    for (&corner, &(before, actual)) in corners.iter().zip(&colours) {
        let expected = levels.apply(before);
        colour += distance_of_colours(expected, actual);
        let worst = std::iter::zip(expected, actual).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        let differs = worst > MAX_MEAN_DIFFERENCE || !structure_agrees(&reference, &photo, corner);
        differing += usize::from(differs);
    }
    let n = corners.len() as f32;
    let interior = (photo.width - 2 * MARGIN) * (photo.height - 2 * MARGIN);
    let inside = photo.inside.iter().filter(|i| **i).count();
    Some(Agreement {
        ncc: correlation(&reference, &photo),
        colour_difference: (colour / n / 100.0).min(1.0),
        residual_share: differing as f32 / n,
        overlap: inside as f32 / interior as f32,
    })
}

fn correlation(reference: &Samples, photo: &Samples) -> f32 {
    let mut moments = Moments::default();
    for ((a, b), inside) in reference
        .values
        .iter()
        .zip(&photo.values)
        .zip(&photo.inside)
    {
        if *inside {
            moments.add(a[3] - 128.0, b[3] - 128.0);
        }
    }
    let [a, b, ab] = moments.spread();
    let size = (a * b).sqrt();
    // Two even pictures have no structure to agree on.
    if size > 1e-3 {
        (ab / size).clamp(-1.0, 1.0)
    } else {
        0.0
    }
}

/// Whether light and dark lie alike in a cell, moved by a sample at most; even cells agree.
fn structure_agrees(reference: &Samples, photo: &Samples, corner: [usize; 2]) -> bool {
    shifts().any(|shift| {
        let [a, b, ab] = cell_moments(reference, photo, corner, shift).spread();
        a.max(b) < STRUCTURED || ab >= MIN_CORRELATION * ((a + NOISE) * (b + NOISE)).sqrt()
    })
}

#[cfg(test)]
mod tests {
    use image::{Rgb, imageops};

    use super::*;
    use crate::matching::geometry::transform::{apply, inverse, similarity};

    /// A red and a blue figure on white, and small print.
    fn scene() -> RgbImage {
        RgbImage::from_fn(200, 160, |x, y| {
            let disc = (x as f32 - 60.0).hypot(y as f32 - 70.0) < 40.0;
            let block = (110..180).contains(&x) && (40..120).contains(&y);
            let print = y > 130 && (x / 4 + y / 5) % 3 == 0;
            match (disc, block, print) {
                (true, ..) => Rgb([200, 40, 30]),
                (_, true, _) if (x / 10 + y / 10) % 2 == 0 => Rgb([40, 60, 190]),
                (_, true, _) => Rgb([90, 120, 230]),
                (_, _, true) => Rgb([30, 30, 30]),
                _ => Rgb([245, 245, 240]),
            }
        })
    }

    fn place() -> Transform {
        similarity([0.0, 0.0], [60.0, 20.0], 1.1, 0.15)
    }

    /// A photo of `size` with the picture in it, and `ground` around.
    pub(super) fn photo_of(
        picture: &RgbImage,
        place: &Transform,
        [width, height]: [u32; 2],
        ground: impl Fn(u32, u32) -> Rgb<u8>,
    ) -> RgbImage {
        let back = inverse(place).expect("regular");
        RgbImage::from_fn(width, height, |x, y| {
            let [u, v] = apply(&back, [f64::from(x) + 0.5, f64::from(y) + 0.5]);
            imageops::interpolate_bilinear(picture, u as f32 - 0.5, v as f32 - 0.5)
                .unwrap_or_else(|| ground(x, y))
        })
    }

    fn pasted(picture: &RgbImage) -> RgbImage {
        photo_of(picture, &place(), [360, 300], |x, y| {
            Rgb([(x % 200) as u8, (y % 210) as u8, 90])
        })
    }

    fn shown(edit: impl Fn(u32, u32, [u8; 3]) -> [u8; 3]) -> Agreement {
        let mut picture = scene();
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            *pixel = Rgb(edit(x, y, pixel.0));
        }
        agreement(&scene(), &pasted(&picture), &place()).expect("all of it is shown")
    }

    #[test]
    fn a_copy_agrees_and_a_brighter_one_still_does() {
        let copy = shown(|_, _, c| c);
        assert!(copy.ncc > 0.98 && copy.residual_share < 0.02, "{copy:?}");
        assert!(
            copy.colour_difference < 0.02 && copy.overlap > 0.99,
            "{copy:?}"
        );
        let faded = shown(|_, _, c| c.map(|v| (f32::from(v) * 0.7 + 40.0) as u8));
        assert!(faded.ncc > 0.98 && faded.residual_share < 0.02, "{faded:?}");
        assert!(faded.colour_difference < 0.02, "{faded:?}");
    }

    #[test]
    fn a_label_over_it_differs_where_it_lies() {
        let labelled = shown(|x, y, c| match (x < 100 && y < 80, x % 6) {
            (true, 0..3) => [20, 140, 60],
            (true, _) => [240, 220, 40],
            _ => c,
        });
        assert!(
            (0.2..0.4).contains(&labelled.residual_share),
            "{labelled:?}"
        );
    }

    #[test]
    fn another_colourway_keeps_its_structure_and_changes_colour() {
        let copy = shown(|_, _, c| c);
        let green = shown(|_, _, [r, g, b]| {
            if r > 150 && g < 90 {
                [30, 150, 60]
            } else {
                [r, g, b]
            }
        });
        assert!(green.ncc > 0.9, "{green:?}");
        assert!(
            green.colour_difference > copy.colour_difference + 0.08,
            "{green:?}"
        );
        assert!(green.residual_share > 0.1, "{green:?}");
    }

    #[test]
    fn something_else_does_not_agree() {
        let other = agreement(
            &scene(),
            &imageops::flip_vertical(&pasted(&scene())),
            &place(),
        );
        let other = other.expect("within the photo");
        assert!(other.ncc < 0.6 && other.residual_share > 0.4, "{other:?}");
    }

    #[test]
    fn nothing_is_said_of_what_cannot_be_seen() {
        let picture = scene();
        for transform in [
            similarity([0.0, 0.0], [9000.0, 0.0], 1.0, 0.0),
            similarity([0.0, 0.0], [50.0, 50.0], 0.05, 0.0),
            [[f64::NAN; 3]; 3],
            [[0.0; 3]; 3],
        ] {
            assert_eq!(agreement(&picture, &picture, &transform), None);
        }
    }
}
