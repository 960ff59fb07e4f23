//! Which regions of a photo are described on their own.

use super::WindowsCard;
use crate::domain::Region;

/// Width and height at which a photo is shown to the network: the longer side as asked, both
/// multiples of `stride`, at least three cells.
pub(super) fn level_size(photo: [u32; 2], long_side: u32, stride: u32) -> [u32; 2] {
    let factor = long_side as f32 / photo[0].max(photo[1]) as f32;
    photo.map(|side| {
        let cells = (side as f32 * factor / stride as f32 + 0.5).floor() as u32;
        cells.max(3) * stride
    })
}

/// Square windows over a map of `level` pixels: all `sizes` (in cells, shrunk to what fits), from
/// edge to edge in steps, each size once. Regions in pixels of the level.
pub(super) fn windows_of(level: [u32; 2], card: &WindowsCard) -> Vec<Region> {
    let margin = i64::from(card.border);
    let [width, height] = level.map(|side| i64::from(side / card.cell) + 2 * margin);
    let mut sizes: Vec<i64> = card
        .cells
        .iter()
        .map(|&size| i64::from(size).min(width).min(height))
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    let cell = card.cell as f32;
    let mut windows = Vec::new();
    for size in sizes {
        for y in positions(height, size, card.step) {
            for x in positions(width, size, card.step) {
                let corner = |p: i64| (p - margin) as f32 * cell;
                windows.push(Region::new(
                    corner(x),
                    corner(y),
                    size as f32 * cell,
                    size as f32 * cell,
                ));
            }
        }
    }
    windows
}

/// First cells of windows of `size` cells in a row of `length`; the last one ends at the edge.
fn positions(length: i64, size: i64, step: u32) -> Vec<i64> {
    let last = length - size;
    let mut positions: Vec<i64> = (0..=last).step_by(step as usize).collect();
    if positions.last() != Some(&last) {
        positions.push(last);
    }
    positions
}

/// Sides of square crops for networks that see one region at a time, as shares of the shorter side.
const CROP_SIDES: [f32; 2] = [0.7, 0.45];

/// Square crops of a photo in three scales: the largest squares, then two smaller sizes with half
/// overlap. Regions in pixels of the photo.
pub(super) fn crops_of(photo: [u32; 2]) -> Vec<Region> {
    let [width, height] = photo.map(|side| side as f32);
    let short = width.min(height);
    let mut crops = Vec::new();
    for share in CROP_SIDES {
        let side = (short * share).max(1.0);
        for y in spread(height - side, side / 2.0) {
            for x in spread(width - side, side / 2.0) {
                crops.push(Region::new(x, y, side, side));
            }
        }
    }
    crops
}

/// Evenly spread positions from 0 to `room`, at most `step` apart.
fn spread(room: f32, step: f32) -> Vec<f32> {
    let n = (room / step).ceil().max(0.0) as usize;
    (0..=n)
        .map(|i| {
            if n == 0 {
                0.0
            } else {
                room * i as f32 / n as f32
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::card::LargePhotos;
    use super::*;
    use proptest::prelude::*;

    fn card() -> WindowsCard {
        WindowsCard {
            cell: 32,
            sides: vec![224, 320, 448],
            cells: vec![6, 8],
            step: 2,
            border: 1,
            large: vec![
                LargePhotos {
                    from: 400,
                    sides: vec![224, 896],
                },
                LargePhotos {
                    from: 900,
                    sides: vec![224, 1280],
                },
            ],
        }
    }

    #[test]
    fn only_photos_with_the_pixels_for_it_are_looked_at_closely() {
        let card = card();
        assert_eq!(card.sides_for(399), [224, 320, 448]);
        assert_eq!(card.sides_for(400), [224, 896]);
        assert_eq!(card.sides_for(899), [224, 896]);
        assert_eq!(card.sides_for(900), [224, 1280]);
    }

    #[test]
    fn a_square_photo_gets_65_windows_over_the_pyramid() {
        // 9 cells: 6 at {0,2,3}, 8 at {0,1}; 12 cells: {0,2,4,6}, {0,2,4}; 16: {0..10}, {0..8}.
        let count = |side| windows_of([side, side], &card()).len();
        assert_eq!(
            [count(224), count(320), count(448)],
            [9 + 4, 16 + 9, 36 + 25]
        );
    }

    #[test]
    fn levels_keep_the_aspect_in_whole_cells() {
        assert_eq!(level_size([640, 480], 320, 32), [320, 256]);
        assert_eq!(level_size([3000, 10], 320, 32), [320, 96]);
    }

    proptest! {
        #[test]
        fn windows_stay_within_the_margin(w in 3u32..20, h in 3u32..20) {
            let level = [w * 32, h * 32];
            for window in windows_of(level, &card()) {
                prop_assert!(window.x >= -32.0 && window.y >= -32.0);
                prop_assert!(window.x + window.w <= level[0] as f32 + 32.0);
                prop_assert!(window.y + window.h <= level[1] as f32 + 32.0);
            }
        }

        #[test]
        fn crops_stay_within_the_photo_and_reach_its_edges(w in 1u32..2000, h in 1u32..2000) {
            let crops = crops_of([w, h]);
            let (w, h) = (w as f32, h as f32);
            prop_assert!(crops.iter().all(|c| c.x >= 0.0 && c.x + c.w <= w * 1.001 + 1.0));
            prop_assert!(crops.iter().any(|c| c.x + c.w >= w * 0.999));
            prop_assert!(crops.iter().any(|c| c.y + c.h >= h * 0.999));
            prop_assert!(crops.len() < 100_000);
        }
    }
}
