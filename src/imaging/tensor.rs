//! Pixels → a network's input.

use image::RgbImage;

/// `(value - mean) * scale` for each pixel value `0..=255`, shape `[3, height, width]` (the batch
/// axis of NCHW is the caller's), red plane first; `mean` and `scale` are per channel, in units of
/// pixel values.
pub fn to_tensor(image: &RgbImage, mean: [f32; 3], scale: [f32; 3]) -> Vec<f32> {
    let n_pixels = image.width() as usize * image.height() as usize;
    let mut tensor = vec![0.0; 3 * n_pixels];
    let (red, rest) = tensor.split_at_mut(n_pixels);
    let (green, blue) = rest.split_at_mut(n_pixels);
    let pixels = image.as_raw().chunks_exact(3);
    for (((pixel, r), g), b) in pixels.zip(red).zip(green).zip(blue) {
        *r = (f32::from(pixel[0]) - mean[0]) * scale[0];
        *g = (f32::from(pixel[1]) - mean[1]) * scale[1];
        *b = (f32::from(pixel[2]) - mean[2]) * scale[2];
    }
    tensor
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn planes_follow_one_another() {
        let image = RgbImage::from_fn(3, 2, |x, y| Rgb([x as u8, 10 + y as u8, 255]));
        let tensor = to_tensor(&image, [1.0, 10.0, 127.5], [1.0, 2.0, 1.0 / 127.5]);
        assert_eq!(tensor.len(), 18);
        assert_eq!(tensor[..6], [-1.0, 0.0, 1.0, -1.0, 0.0, 1.0]);
        assert_eq!(tensor[6..12], [0.0, 0.0, 0.0, 2.0, 2.0, 2.0]);
        assert_eq!(tensor[12..], [1.0; 6]);
    }
}
