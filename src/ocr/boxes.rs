//! From the detector's map of text to boxes, as PaddleOCR does it (`DBPostProcess`, fast score).

use image::{GrayImage, Luma};
use imageproc::contours::{BorderType, find_contours};
use imageproc::point::Point;

use super::TextBox;
use super::card::DetectorCard;
use crate::domain::Region;

/// Corners: top left, top right, bottom right, bottom left.
pub(super) type Quad = [[f32; 2]; 4];

/// A rectangle thinner than this on the map is noise (`min_size` of the reference).
const MIN_SIDE: f32 = 3.0;
/// Boxes whose top edges differ less than this share a line when sorting, pixels.
const SAME_LINE_PX: f32 = 10.0;

/// Probability of text for every pixel of the detector's input.
pub(super) struct TextMap<'a> {
    pub width: u32,
    pub height: u32,
    /// Row by row, `0..=1`.
    pub values: &'a [f32],
}

impl TextMap<'_> {
    /// The smallest box that holds all pixels above `threshold`, in pixels of a picture of `size`.
    pub fn extent(&self, threshold: f32, size: (u32, u32)) -> Option<Region> {
        let (mut left, mut right, mut top, mut bottom) = (u32::MAX, 0, u32::MAX, 0);
        for (y, row) in (0u32..).zip(self.values.chunks_exact(self.width as usize)) {
            let is_text = |&value: &f32| value > threshold;
            let (Some(first), Some(last)) =
                (row.iter().position(is_text), row.iter().rposition(is_text))
            else {
                continue;
            };
            (left, right) = (left.min(first as u32), right.max(last as u32 + 1));
            (top, bottom) = (top.min(y), y + 1);
        }
        let [sx, sy] = [
            size.0 as f32 / self.width as f32,
            size.1 as f32 / self.height as f32,
        ];
        (right > 0).then(|| {
            Region::new(
                left as f32 * sx,
                top as f32 * sy,
                (right - left) as f32 * sx,
                (bottom - top) as f32 * sy,
            )
        })
    }
}

/// The boxes in `map`, in pixels of a picture of `size` (width, height), in reading order.
pub(super) fn text_boxes(map: &TextMap, card: &DetectorCard, size: (u32, u32)) -> Vec<TextBox> {
    let mut boxes: Vec<TextBox> = find_contours::<i32>(&framed_mask(map, card.threshold))
        .into_iter()
        .filter(|contour| contour.border_type == BorderType::Outer)
        .filter_map(|contour| text_box(map, &unframed(contour.points), card, size))
        .collect();
    sort_for_reading(&mut boxes);
    boxes
}

/// What is text, within a frame of one pixel that is not: `find_contours` does not see what touches
/// the left edge.
fn framed_mask(map: &TextMap, threshold: f32) -> GrayImage {
    let mut mask = GrayImage::new(map.width + 2, map.height + 2);
    for (i, _) in (0u32..)
        .zip(map.values)
        .filter(|(_, value)| **value > threshold)
    {
        mask.put_pixel(i % map.width + 1, i / map.width + 1, Luma([255]));
    }
    mask
}

fn unframed(mut points: Vec<Point<i32>>) -> Vec<Point<i32>> {
    for point in &mut points {
        *point = Point::new(point.x - 1, point.y - 1);
    }
    points
}

fn text_box(
    map: &TextMap,
    contour: &[Point<i32>],
    card: &DetectorCard,
    size: (u32, u32),
) -> Option<TextBox> {
    let rectangle = Rectangle::around(contour)?;
    if rectangle.shorter_side() < MIN_SIDE {
        return None;
    }
    let probability = mean_inside(map, &rectangle.corners());
    if probability < card.box_threshold {
        return None;
    }
    // The reference offsets the outline in whole pixels, its corners cut to whole pixels.
    let by = rectangle.growth(card.unclip_ratio).round();
    let cut = rectangle
        .corners()
        .map(|[x, y]| Point::new(x as i32, y as i32));
    let grown = Rectangle::around(&cut)?.grown(by);
    if grown.shorter_side() < MIN_SIDE + 2.0 {
        return None;
    }
    let scale = [
        size.0 as f32 / map.width as f32,
        size.1 as f32 / map.height as f32,
    ];
    let quad = grown
        .corners()
        .map(|[x, y]| [clip(x * scale[0], size.0), clip(y * scale[1], size.1)]);
    let [w, h] = sides(&quad);
    (w > MIN_SIDE && h > MIN_SIDE).then_some(TextBox { quad, probability })
}

/// Whole pixels within the picture, as the reference gives them.
fn clip(value: f32, limit: u32) -> f32 {
    value.round().clamp(0.0, limit.saturating_sub(1) as f32)
}

/// Lengths of the top and the left edge.
pub(super) fn sides(quad: &Quad) -> [f32; 2] {
    [distance(quad[0], quad[1]), distance(quad[0], quad[3])]
}

pub(super) fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// Area of a convex quadrilateral.
pub(super) fn area(quad: &Quad) -> f32 {
    let twice: f32 = (0..4)
        .map(|i| cross(quad[i], quad[(i + 1) % 4]))
        .sum::<f32>();
    twice.abs() / 2.0
}

fn cross(a: [f32; 2], b: [f32; 2]) -> f32 {
    a[0] * b[1] - a[1] * b[0]
}

/// Top to bottom, and left to right within a line.
pub(super) fn sort_for_reading(boxes: &mut [TextBox]) {
    boxes.sort_by(|a, b| a.quad[0][1].total_cmp(&b.quad[0][1]));
    let mut start = 0;
    for end in 1..=boxes.len() {
        let line_ends =
            end == boxes.len() || boxes[end].quad[0][1] - boxes[end - 1].quad[0][1] >= SAME_LINE_PX;
        if line_ends {
            boxes[start..end].sort_by(|a, b| a.quad[0][0].total_cmp(&b.quad[0][0]));
            start = end;
        }
    }
}

/// A rectangle at any angle.
#[derive(Debug, Clone, Copy)]
struct Rectangle {
    centre: [f32; 2],
    /// Unit vector along the first side; the second is this turned by 90°.
    axis: [f32; 2],
    half: [f32; 2],
}

impl Rectangle {
    /// The rectangle of least area around `points`; `None` without points. One side of it lies on an
    /// edge of the convex hull (Freeman and Shapira 1975).
    fn around(points: &[Point<i32>]) -> Option<Self> {
        let hull = convex_hull(points);
        let edges = (0..hull.len()).map(|i| {
            let (a, b) = (hull[i], hull[(i + 1) % hull.len()]);
            let length = distance(a, b);
            if length > 0.0 {
                [(b[0] - a[0]) / length, (b[1] - a[1]) / length]
            } else {
                [1.0, 0.0]
            }
        });
        edges
            .map(|axis| Self::along(&hull, axis))
            .min_by(|a, b| (a.half[0] * a.half[1]).total_cmp(&(b.half[0] * b.half[1])))
    }

    fn along(hull: &[[f32; 2]], axis: [f32; 2]) -> Self {
        let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
        for point in hull {
            let along = point[0] * axis[0] + point[1] * axis[1];
            let across = point[1] * axis[0] - point[0] * axis[1];
            for (i, value) in [along, across].into_iter().enumerate() {
                low[i] = low[i].min(value);
                high[i] = high[i].max(value);
            }
        }
        let middle = [(low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0];
        Self {
            centre: [
                middle[0] * axis[0] - middle[1] * axis[1],
                middle[0] * axis[1] + middle[1] * axis[0],
            ],
            axis,
            half: [(high[0] - low[0]) / 2.0, (high[1] - low[1]) / 2.0],
        }
    }

    fn shorter_side(&self) -> f32 {
        2.0 * self.half[0].min(self.half[1])
    }

    /// By how much boxes are grown: area × `ratio` / perimeter.
    fn growth(&self, ratio: f32) -> f32 {
        let [a, b] = self.half;
        4.0 * a * b * ratio / (4.0 * (a + b))
    }

    /// Every side moved outwards: the least rectangle around the reference's offset outline, whose
    /// corners are round.
    fn grown(&self, by: f32) -> Self {
        let [a, b] = self.half;
        Self {
            half: [a + by, b + by],
            ..*self
        }
    }

    fn corners(&self) -> Quad {
        let [a, b] = self.half;
        let mut corners = [[-a, -b], [a, -b], [a, b], [-a, b]].map(|[along, across]| {
            [
                self.centre[0] + along * self.axis[0] - across * self.axis[1],
                self.centre[1] + along * self.axis[1] + across * self.axis[0],
            ]
        });
        // The two leftmost corners make the left edge, whatever the angle.
        corners.sort_by(|p, q| p[0].total_cmp(&q[0]));
        let [a, b, c, d] = corners;
        let (top_left, bottom_left) = if b[1] > a[1] { (a, b) } else { (b, a) };
        let (top_right, bottom_right) = if d[1] > c[1] { (c, d) } else { (d, c) };
        [top_left, top_right, bottom_right, bottom_left]
    }
}

/// Andrew's monotone chain; fewer than three points come back as they are.
fn convex_hull(points: &[Point<i32>]) -> Vec<[f32; 2]> {
    let mut sorted: Vec<(i32, i32)> = points.iter().map(|p| (p.x, p.y)).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let mut hull: Vec<(i32, i32)> = Vec::new();
    if sorted.len() < 3 {
        hull = sorted;
    } else {
        half_hull(sorted.iter(), &mut hull);
        half_hull(sorted.iter().rev(), &mut hull);
    }
    hull.iter().map(|&(x, y)| [x as f32, y as f32]).collect()
}

fn half_hull<'a>(points: impl Iterator<Item = &'a (i32, i32)>, hull: &mut Vec<(i32, i32)>) {
    let start = hull.len();
    for &(x, y) in points {
        while hull.len() >= start + 2 {
            let (a, b) = (hull[hull.len() - 2], hull[hull.len() - 1]);
            let turn = i64::from(b.0 - a.0) * i64::from(y - a.1)
                - i64::from(b.1 - a.1) * i64::from(x - a.0);
            if turn > 0 {
                break;
            }
            hull.pop();
        }
        hull.push((x, y));
    }
    // The last point begins the other half.
    hull.pop();
}

/// Mean of the map inside `quad`, its outline included; corners are cut to whole pixels, as the
/// reference does.
fn mean_inside(map: &TextMap, quad: &Quad) -> f32 {
    let quad = quad.map(|[x, y]| [x.trunc(), y.trunc()]);
    let top = quad.iter().fold(f32::MAX, |m, p| m.min(p[1])).max(0.0) as u32;
    let bottom = quad.iter().fold(0.0f32, |m, p| m.max(p[1])) as u32;
    let (mut sum, mut count) = (0.0f64, 0u32);
    for y in top..=bottom.min(map.height.saturating_sub(1)) {
        let Some((left, right)) = span_at(&quad, y as f32) else {
            continue;
        };
        let left = left.round().max(0.0) as u32;
        let right = (right.round().max(0.0) as u32).min(map.width.saturating_sub(1));
        for x in left..=right {
            sum += f64::from(map.values[(y * map.width + x) as usize]);
            count += 1;
        }
    }
    if count == 0 {
        return 0.0;
    }
    (sum / f64::from(count)) as f32
}

/// Where the horizontal line at `y` enters and leaves `quad`.
fn span_at(quad: &Quad, y: f32) -> Option<(f32, f32)> {
    let mut span: Option<(f32, f32)> = None;
    for i in 0..4 {
        let (a, b) = (quad[i], quad[(i + 1) % 4]);
        if y < a[1].min(b[1]) || y > a[1].max(b[1]) {
            continue;
        }
        let ends = if a[1] == b[1] {
            [a[0], b[0]]
        } else {
            [a[0] + (b[0] - a[0]) * (y - a[1]) / (b[1] - a[1]); 2]
        };
        for x in ends {
            span = Some(span.map_or((x, x), |(l, r)| (l.min(x), r.max(x))));
        }
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: u32 = 96;
    const HEIGHT: u32 = 64;

    fn card() -> DetectorCard {
        toml::from_str(
            "file = 'x'\nsha256 = ''\nmultiple = 32\nmean = [0, 0, 0]\nstd = [1, 1, 1]\n\
             threshold = 0.2\nbox_threshold = 0.4\nunclip_ratio = 1.4",
        )
        .unwrap()
    }

    fn found(value_at: impl Fn(u32, u32) -> f32, scale: u32) -> Vec<TextBox> {
        let values: Vec<f32> = (0..HEIGHT)
            .flat_map(|y| (0..WIDTH).map(move |x| (x, y)))
            .map(|(x, y)| value_at(x, y))
            .collect();
        let map = TextMap {
            width: WIDTH,
            height: HEIGHT,
            values: &values,
        };
        text_boxes(&map, &card(), (WIDTH * scale, HEIGHT * scale))
    }

    fn inside(x: u32, y: u32, [left, top, right, bottom]: [u32; 4]) -> bool {
        (left..=right).contains(&x) && (top..=bottom).contains(&y)
    }

    #[test]
    fn an_upright_block_grows_and_is_scaled_to_the_picture() {
        let block = [20, 30, 60, 40];
        let boxes = found(|x, y| if inside(x, y, block) { 0.9 } else { 0.0 }, 2);
        assert_eq!(boxes.len(), 1);
        // 40 × 10 grows by 400 × 1.4 / 100 = 5.6, to whole pixels, on each side; then twice as large.
        assert_eq!(
            boxes[0].quad,
            [[28.0, 48.0], [132.0, 48.0], [132.0, 92.0], [28.0, 92.0]]
        );
        assert!((boxes[0].probability - 0.9).abs() < 1e-4);
    }

    #[test]
    fn a_slanted_block_keeps_its_slant() {
        // A bar of 50 × 9 pixels, turned by 20°.
        let (sin, cos) = 20f32.to_radians().sin_cos();
        let boxes = found(
            |x, y| {
                let (dx, dy) = (x as f32 - 48.0, y as f32 - 32.0);
                let (along, across) = (dx * cos + dy * sin, dy * cos - dx * sin);
                if along.abs() <= 25.0 && across.abs() <= 4.5 {
                    0.8
                } else {
                    0.0
                }
            },
            1,
        );
        assert_eq!(boxes.len(), 1);
        let [tl, tr, ..] = boxes[0].quad;
        let slant = (tr[1] - tl[1]).atan2(tr[0] - tl[0]).to_degrees();
        assert!((slant - 20.0).abs() < 3.0, "{slant}");
    }

    #[test]
    fn faint_and_tiny_blocks_are_dropped() {
        let (faint, tiny, good) = ([5, 5, 40, 15], [50, 5, 51, 6], [5, 40, 60, 52]);
        let boxes = found(
            |x, y| {
                if inside(x, y, good) || inside(x, y, tiny) {
                    0.9
                } else if inside(x, y, faint) {
                    0.3
                } else {
                    0.0
                }
            },
            1,
        );
        assert_eq!(boxes.len(), 1);
        assert!(boxes[0].quad[0][1] > 30.0);
    }

    #[test]
    fn boxes_come_line_by_line() {
        let blocks = [[60, 8, 85, 16], [5, 10, 30, 18], [5, 40, 30, 50]];
        let boxes = found(
            |x, y| {
                if blocks.iter().any(|&b| inside(x, y, b)) {
                    0.9
                } else {
                    0.0
                }
            },
            1,
        );
        let starts: Vec<bool> = boxes.iter().map(|b| b.quad[0][0] < 40.0).collect();
        assert_eq!(starts, [true, false, true]);
        assert!(boxes[2].quad[0][1] > 20.0);
    }

    #[test]
    fn text_at_the_edges_is_found_and_stays_within_the_picture() {
        let boxes = found(|_, _| 1.0, 1);
        assert_eq!(boxes.len(), 1);
        assert_eq!(boxes[0].quad[0], [0.0, 0.0]);
        assert_eq!(boxes[0].quad[2], [95.0, 63.0]);
        let left = found(
            |x, y| {
                if inside(x, y, [0, 20, 30, 30]) {
                    0.9
                } else {
                    0.0
                }
            },
            1,
        );
        assert_eq!(left.len(), 1);
        assert!(found(|_, _| f32::NAN, 1).is_empty());
    }

    #[test]
    fn the_least_rectangle_of_a_line_is_flat() {
        let line: Vec<Point<i32>> = (0..10).map(|i| Point::new(i, i)).collect();
        let rectangle = Rectangle::around(&line).unwrap();
        assert!(rectangle.shorter_side() < 1e-4);
        assert!(Rectangle::around(&[]).is_none());
    }
}
