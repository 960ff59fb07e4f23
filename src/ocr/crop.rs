//! Cutting a line of text out of a picture, straightened, at the height the recogniser reads.

use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::{Rgb, RgbImage};
use imageproc::geometric_transformations::Projection;

use super::boxes::{Quad, distance};

/// Lines wider than this many times their height are squeezed; none on earth are longer.
const MAX_ASPECT: f32 = 40.0;
/// Text is cut out at most this many times as high as it is read.
const MAX_CUT: u32 = 2;

/// The longer of the two edges in each direction: width, height.
pub(super) fn extent(quad: &Quad) -> (f32, f32) {
    let [tl, tr, br, bl] = *quad;
    (
        distance(tl, tr).max(distance(bl, br)).max(1.0),
        distance(tl, bl).max(distance(tr, br)).max(1.0),
    )
}

/// `quad` read after a quarter turn: its text runs from the top right corner downwards.
pub(super) fn turned_quarter(quad: &Quad) -> Quad {
    let [tl, tr, br, bl] = *quad;
    [tr, br, bl, tl]
}

/// `quad` read upside down.
pub(super) fn turned_half(quad: &Quad) -> Quad {
    let [tl, tr, br, bl] = *quad;
    [br, bl, tl, tr]
}

/// Width of the line in `quad` at `height` pixels.
fn line_width(quad: &Quad, height: u32) -> u32 {
    let (w, h) = extent(quad);
    let aspect = (w.floor().max(1.0) / h.floor().max(1.0)).min(MAX_ASPECT);
    ((aspect * height as f32).ceil() as u32).max(1)
}

/// The part of `picture` inside `quad` as a line of `height` pixels. As in the reference, it is first
/// cut out at its own size (bicubic), then scaled without smoothing (bilinear); only text much larger
/// than `height` is cut out smaller, so that the cost of a line is bounded.
pub(super) fn line(picture: &RgbImage, quad: &Quad, height: u32) -> RgbImage {
    let cut = cut_out(picture, quad, MAX_CUT * height);
    resize(&cut, line_width(quad, height), height)
}

fn cut_out(picture: &RgbImage, quad: &Quad, max_height: u32) -> RgbImage {
    let (w, h) = extent(quad);
    let (w, h) = (w.floor(), h.floor());
    let step = (h / max_height as f32).max(1.0);
    let size = [w, h].map(|side| ((side / step).round() as u32).max(1));
    let corners = [(0.0, 0.0), (w, 0.0), (w, h), (0.0, h)];
    let to_picture = Projection::from_control_points(corners, quad.map(|[x, y]| (x, y)));
    RgbImage::from_fn(size[0], size[1], |x, y| match to_picture {
        Some(projection) => bicubic(picture, projection * (x as f32 * step, y as f32 * step)),
        None => Rgb([0; 3]),
    })
}

/// The picture between its pixels, by Keys' cubic with OpenCV's a = -0.75; beyond its edge, the edge.
fn bicubic(picture: &RgbImage, (x, y): (f32, f32)) -> Rgb<u8> {
    let (width, height) = picture.dimensions();
    let (left, top) = (x.floor(), y.floor());
    let columns = cubic_weights(x - left);
    let rows = cubic_weights(y - top);
    let at = |start: f32, offset: usize, limit: u32| {
        (start + offset as f32 - 1.0).clamp(0.0, (limit - 1) as f32) as u32
    };
    let mut sum = [0.0f32; 3];
    for (j, row) in rows.into_iter().enumerate() {
        let py = at(top, j, height);
        for (i, column) in columns.into_iter().enumerate() {
            let pixel = picture.get_pixel(at(left, i, width), py);
            for (total, channel) in sum.iter_mut().zip(pixel.0) {
                *total += row * column * f32::from(channel);
            }
        }
    }
    Rgb(sum.map(|value| value.round().clamp(0.0, 255.0) as u8))
}

/// Weights of the four pixels around a place that lies `t` after the second of them.
fn cubic_weights(t: f32) -> [f32; 4] {
    const A: f32 = -0.75;
    let far = |d: f32| A * (((d - 5.0) * d + 8.0) * d - 4.0);
    let near = |d: f32| ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0;
    [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
}

/// Bilinear without smoothing, as OpenCV's `resize` does and as the networks saw pictures.
pub(super) fn resize(picture: &RgbImage, width: u32, height: u32) -> RgbImage {
    if picture.dimensions() == (width, height) {
        return picture.clone();
    }
    let mut resized = RgbImage::new(width, height);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Interpolation(FilterType::Bilinear));
    Resizer::new()
        .resize(picture, &mut resized, &options)
        .expect("both pictures hold three bytes a pixel and at least one pixel");
    resized
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red grows to the right, green downwards.
    fn ramp() -> RgbImage {
        RgbImage::from_fn(200, 100, |x, y| Rgb([x as u8, y as u8, 7]))
    }

    fn quad(x: f32, y: f32, w: f32, h: f32) -> Quad {
        [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]
    }

    #[test]
    fn an_upright_line_is_cut_out_and_scaled() {
        let line = line(&ramp(), &quad(10.0, 20.0, 120.0, 24.0), 48);
        assert_eq!(line.dimensions(), (240, 48));
        let middle = line.get_pixel(120, 24).0;
        assert!(
            middle[0].abs_diff(70) <= 1 && middle[1].abs_diff(32) <= 1,
            "{middle:?}"
        );
        assert_eq!(middle[2], 7);
    }

    #[test]
    fn turning_makes_other_corners_the_beginning() {
        let tall = quad(50.0, 10.0, 20.0, 60.0);
        assert_eq!(line_width(&turned_quarter(&tall), 48), 144);
        let downwards = line(&ramp(), &turned_quarter(&tall), 48);
        // The line runs down the picture: green grows along it.
        assert!(downwards.get_pixel(140, 24)[1] > downwards.get_pixel(3, 24)[1] + 40);
        let back = turned_half(&turned_half(&tall));
        assert_eq!(back, tall);
        let upside_down = line(&ramp(), &turned_half(&quad(10.0, 10.0, 60.0, 20.0)), 48);
        assert!(upside_down.get_pixel(140, 24)[0] + 40 < upside_down.get_pixel(3, 24)[0]);
    }

    #[test]
    fn strange_boxes_give_a_line_all_the_same() {
        let picture = ramp();
        for strange in [
            [[5.0, 5.0]; 4],
            quad(-50.0, -50.0, 20.0, 20.0),
            quad(190.0, 90.0, 500.0, 3.0),
            [[0.0, 0.0], [50.0, 50.0], [0.0, 50.0], [50.0, 0.0]],
        ] {
            let line = line(&picture, &strange, 48);
            assert_eq!(line.height(), 48);
            assert!(line.width() <= 48 * 40);
        }
    }

    #[test]
    fn cubic_weights_sum_to_one_and_pass_through_pixels() {
        assert_eq!(cubic_weights(0.0), [0.0, 1.0, 0.0, 0.0]);
        for i in 0..10 {
            let sum: f32 = cubic_weights(i as f32 / 10.0).iter().sum();
            assert!((sum - 1.0).abs() < 1e-5);
        }
    }
}
