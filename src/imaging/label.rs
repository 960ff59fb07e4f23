//! Writing on pictures, with the fonts that this program carries: Latin, Greek and Cyrillic letters;
//! others are left out.

use std::fmt::Write;

use image::RgbImage;

use super::{ImagingError, svg};

/// One line of text on a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Left end of the line that the letters stand on, pixels.
    pub at: [f32; 2],
    /// What it says; only the first 400 characters are written.
    pub text: String,
    /// Height of the letters, pixels.
    pub size_px: f32,
    /// Whether it stands out.
    pub bold: bool,
    /// sRGB.
    pub colour: [u8; 3],
}

/// Characters of one label.
const MAX_CHARS: usize = 400;

/// Writes `labels` on `canvas`; what reaches over its edge is cut off.
///
/// # Errors
/// [`ImagingError::Svg`] when the letters cannot be drawn.
pub fn write_labels(canvas: &mut RgbImage, labels: &[Label]) -> Result<(), ImagingError> {
    let (width, height) = canvas.dimensions();
    if width == 0 || height == 0 || labels.is_empty() {
        return Ok(());
    }
    let drawing = drawing(labels, [width, height]);
    let letters = svg::render_own(&drawing, width.max(height))?;
    for (to, from) in canvas.pixels_mut().zip(letters.pixels()) {
        let opacity = u32::from(from[3]);
        for c in 0..3 {
            let sum = u32::from(from[c]) * opacity + u32::from(to[c]) * (255 - opacity);
            to[c] = ((sum + 127) / 255) as u8;
        }
    }
    Ok(())
}

fn drawing(labels: &[Label], [width, height]: [u32; 2]) -> String {
    let mut drawing = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif">"#
    );
    for label in labels {
        let [x, y] = label.at;
        let [r, g, b] = label.colour;
        let weight = if label.bold { "bold" } else { "normal" };
        let (size, text) = (label.size_px, escaped(&label.text));
        // Writing to a string cannot fail.
        let _ = write!(
            drawing,
            r#"<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="rgb({r},{g},{b})">{text}</text>"#
        );
    }
    drawing + "</svg>"
}

/// Text that comes from outside, as XML: no tags, nothing invisible that would turn or hide the rest.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars().take(MAX_CHARS) {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push(' '),
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' => {}
            '\u{2060}'..='\u{206f}' | '\u{feff}' => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn label(text: &str) -> Label {
        Label {
            at: [4.0, 30.0],
            text: text.to_owned(),
            size_px: 24.0,
            bold: true,
            colour: [200, 0, 0],
        }
    }

    fn n_marked(text: &str) -> usize {
        let mut canvas = RgbImage::from_pixel(300, 40, Rgb([255; 3]));
        write_labels(&mut canvas, &[label(text)]).expect("drawn");
        canvas.pixels().filter(|p| p[1] < 128).count()
    }

    #[test]
    fn letters_appear_in_their_colour_and_place() {
        let mut canvas = RgbImage::from_pixel(300, 40, Rgb([255; 3]));
        write_labels(&mut canvas, &[label("Acme Ж")]).expect("drawn");
        let marked = |(_, _, p): &(u32, u32, &Rgb<u8>)| p[1] < 100;
        let (mut right, mut n) = (0, 0);
        for (x, y, pixel) in canvas.enumerate_pixels().filter(marked) {
            assert!((4..38).contains(&y) && x >= 4, "{x} {y}");
            assert!(pixel[0] > pixel[1], "{pixel:?} is no red");
            (right, n) = (right.max(x), n + 1);
        }
        assert!(n > 200 && (60..140).contains(&right), "{n} {right}");
    }

    #[test]
    fn hostile_text_is_only_text() {
        assert!(n_marked("</text><rect width='300' height='40'/>") < 6000);
        assert!(n_marked("a&b \"c\" \u{0}\u{b}\u{ffff} d") > 100);
        assert_eq!(escaped("a\u{202e}b<\n"), "ab&lt; ");
        assert_eq!(escaped(&"x".repeat(1000)).len(), MAX_CHARS);
    }
}
