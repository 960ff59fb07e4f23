//! Which of two references that fit the same place of a photo fits it better, judged only where the
//! two differ: two flavours of one line share most of their print, and all of it agrees with either.

use image::RgbImage;

use super::colour::distance_of_colours;
use super::levels::Levels;
use super::samples::{Grid, Samples, cell_corners, cell_moments, mean_colour, shifts};
use super::{NOISE, STRUCTURED};
use crate::matching::geometry::transform::{Transform, inverse, product};

/// A reference and how it lies in the photo.
#[derive(Clone, Copy)]
pub struct Laid<'r> {
    /// The reference.
    pub picture: &'r RgbImage,
    /// From its pixels to the photo's.
    pub transform: &'r Transform,
}

/// Fewer shared cells say nothing.
const MIN_CELLS: usize = 12;
/// Share of the reference's cells that must be shared.
const MIN_SHARED: f32 = 0.25;
/// Colours nearer than this are the same, further apart than the second surely not, CIE76 ΔE.
const DIFFERENT: [f32; 2] = [6.0, 26.0];
/// Added to a difference of colours before it divides another, so that small ones decide little, ΔE.
const SMALL: f32 = 4.0;
/// Cells' worth of weight that decides nothing: two that hardly differ have no winner.
const UNDECIDED: f32 = 2.0;
/// Colour counts so many times what structure does. On photos of packs where the wrong flavour had the
/// more agreeing points, colour alone chose right in .89, structure in .59, both so weighed in .86,
/// and in .97 of all pairs, where colour alone did in .94.
const COLOUR: f32 = 2.0;

/// How much better `a` agrees with the photo than `b` where the two differ, `-1..=1`; 0 when nothing
/// tells them apart. `None` when they share too little of the photo.
pub fn lead(photo: &RgbImage, a: Laid<'_>, b: Laid<'_>) -> Option<f32> {
    let forth = lead_on_grid(photo, a, b)?;
    let back = lead_on_grid(photo, b, a)?;
    Some((forth - back) / 2.0)
}

/// As [`lead`], with the samples on the grid of `a`, which its own pixels suit a little better.
fn lead_on_grid(photo: &RgbImage, a: Laid<'_>, b: Laid<'_>) -> Option<f32> {
    let grid = Grid::new(a.picture, a.transform)?;
    let growth = Grid::new(b.picture, b.transform)?.growth();
    let to_b = product(&inverse(b.transform)?, a.transform);
    let mut shown = grid.of_photo(photo, a.transform)?;
    let n_own = cell_corners(&shown).len();
    let ours = grid.of_reference(a.picture);
    let theirs = grid.of_rival(b.picture, &to_b, growth);
    for (shared, theirs) in shown.inside.iter_mut().zip(&theirs.inside) {
        *shared &= theirs;
    }
    let corners = cell_corners(&shown);
    if corners.len() < MIN_CELLS || (corners.len() as f32) < MIN_SHARED * n_own as f32 {
        return None;
    }
    let [colour, structure] = [
        colour_lead(&shown, &ours, &theirs, &corners),
        structure_lead(&shown, &ours, &theirs, &corners),
    ];
    Some((COLOUR * colour + structure) / (COLOUR + 1.0))
}

/// Each cell's difference times its weight, over all weights and some more.
fn weighted(cells: impl Iterator<Item = (f32, f32)>) -> f32 {
    let (sum, weights) = cells.fold((0.0, UNDECIDED), |(sum, weights), (value, weight)| {
        (sum + weight * value, weights + weight)
    });
    sum / weights
}

fn colour_lead(shown: &Samples, ours: &Samples, theirs: &Samples, corners: &[[usize; 2]]) -> f32 {
    let colours = |samples: &Samples| -> Vec<[f32; 3]> {
        corners
            .iter()
            .map(|&corner| mean_colour(samples, corner))
            .collect()
    };
    let (shown, ours, theirs) = (colours(shown), colours(ours), colours(theirs));
    // Each in the photo's light.
    let lit = |reference: Vec<[f32; 3]>| -> Vec<[f32; 3]> {
        let pairs: Vec<_> = reference
            .iter()
            .copied()
            .zip(shown.iter().copied())
            .collect();
        let levels = Levels::fit(&pairs);
        reference
            .into_iter()
            .map(|colour| levels.apply(colour))
            .collect()
    };
    let (ours, theirs) = (lit(ours), lit(theirs));
    weighted(
        shown
            .iter()
            .zip(&ours)
            .zip(&theirs)
            .map(|((&shown, &a), &b)| {
                let apart = distance_of_colours(a, b);
                let weight =
                    ((apart - DIFFERENT[0]) / (DIFFERENT[1] - DIFFERENT[0])).clamp(0.0, 1.0);
                let nearer = distance_of_colours(shown, b) - distance_of_colours(shown, a);
                ((nearer / (apart + SMALL)).clamp(-1.0, 1.0), weight)
            }),
    )
}

fn structure_lead(
    shown: &Samples,
    ours: &Samples,
    theirs: &Samples,
    corners: &[[usize; 2]],
) -> f32 {
    let alike = |[a, b, ab]: [f32; 3]| ab / ((a + NOISE) * (b + NOISE)).sqrt();
    weighted(corners.iter().map(|&corner| {
        let spread = cell_moments(ours, theirs, corner, [0, 0]).spread();
        if spread[0].max(spread[1]) < STRUCTURED {
            return (0.0, 0.0);
        }
        let best = |reference: &Samples| {
            shifts()
                .map(|shift| alike(cell_moments(shown, reference, corner, shift).spread()))
                .fold(-1.0, f32::max)
        };
        let weight = (1.0 - alike(spread)).clamp(0.0, 1.0);
        ((best(ours) - best(theirs)).clamp(-1.0, 1.0), weight)
    }))
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::super::tests::photo_of;
    use super::*;
    use crate::matching::geometry::transform::similarity;

    /// A pack: a picture and small print that all flavours share, and a band in the flavour's colour
    /// with the flavour's pattern.
    fn pack(band: [u8; 3], stripes: u32) -> RgbImage {
        RgbImage::from_fn(160, 240, |x, y| {
            let picture = (x as f32 - 80.0).hypot(y as f32 - 70.0) < 45.0;
            let print = y > 200 && (x / 4 + y / 5) % 3 == 0;
            match (picture, print, (130..180).contains(&y)) {
                (true, ..) => Rgb([60, (x % 30 * 4) as u8 + 40, 150]),
                (_, true, _) => Rgb([40, 40, 40]),
                (_, _, true) if (x / stripes).is_multiple_of(2) => Rgb(band.map(|v| v / 2)),
                (_, _, true) => Rgb(band),
                _ => Rgb([240, 238, 230]),
            }
        })
    }

    fn place() -> Transform {
        similarity([0.0, 0.0], [40.0, 25.0], 1.2, 0.1)
    }

    /// The pack in a dim, warm room.
    fn photographed(pack: &RgbImage) -> RgbImage {
        let mut photo = photo_of(pack, &place(), [320, 380], |_, _| Rgb([120, 90, 60]));
        for Rgb(lit) in photo.pixels_mut() {
            for (value, warm) in lit.iter_mut().zip([12.0, 4.0, 0.0]) {
                *value = (f32::from(*value) * 0.75 + warm) as u8;
            }
        }
        photo
    }

    fn lead_between(shown: &RgbImage, a: &RgbImage, b: &RgbImage) -> Option<f32> {
        let transform = place();
        let laid = |picture| Laid {
            picture,
            transform: &transform,
        };
        lead(&photographed(shown), laid(a), laid(b))
    }

    #[test]
    fn the_flavour_shown_leads_by_its_colour() {
        let (red, green) = (pack([210, 40, 50], 8), pack([60, 170, 70], 8));
        let right = lead_between(&red, &red, &green).expect("all of both is shown");
        assert!(right > 0.3, "{right}");
        assert_eq!(lead_between(&red, &green, &red), Some(-right));
    }

    #[test]
    fn the_flavour_shown_leads_by_its_pattern() {
        let (narrow, wide) = (pack([210, 40, 50], 6), pack([210, 40, 50], 14));
        let right = lead_between(&wide, &wide, &narrow).expect("all of both is shown");
        assert!(right > 0.1, "{right}");
    }

    #[test]
    fn the_same_pack_registered_twice_has_no_winner() {
        let red = pack([210, 40, 50], 8);
        let lead = lead_between(&red, &red, &red.clone()).expect("all of both is shown");
        assert!(lead.abs() < 0.01, "{lead}");
    }

    #[test]
    fn nothing_is_said_of_packs_in_different_places() {
        let red = pack([210, 40, 50], 8);
        let elsewhere = similarity([0.0, 0.0], [250.0, 300.0], 1.2, 0.1);
        let (a, b) = (
            Laid {
                picture: &red,
                transform: &place(),
            },
            Laid {
                picture: &red,
                transform: &elsewhere,
            },
        );
        assert_eq!(lead(&photographed(&red), a, b), None);
    }
}
