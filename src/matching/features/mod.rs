//! Local features of a picture: places with a size, a direction and a descriptor (RootSIFT), found
//! again under other light, turn, size and moderate slant.
//!
//! Our own rather than `kornia-imgproc`'s: the same matches (median 31 agreeing points between a
//! packshot and a phone photo, OpenCV 5.0: 29), but about 214 ms of CPU a photo of 348 px there on
//! x86-64, decoding included (one thread; 49 ms in OpenCV, about 40 ms here).
//!
//! Nothing here compares features: see [`geometry`](super::geometry).

mod bytes;
mod describe;
mod detect;
mod scale_space;
mod wide;

pub use bytes::FeatureError;
pub use describe::{DESCRIPTOR_LEN, DESCRIPTOR_MAX};
pub(super) use wide::on_wide_registers;

use std::f32::consts::{PI, TAU};

use fast_image_resize as fir;
use image::GrayImage;

use detect::Extremum;
use scale_space::{Octave, Plane};

/// How large a picture is made before features are looked for, and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureLimits {
    /// A longer side below this is enlarged to it, by [`MAX_ENLARGEMENT`] at most, pixels.
    pub min_side_px: u32,
    /// A longer side above this is reduced to it, pixels.
    pub max_side_px: u32,
    /// Features kept, strongest first.
    pub max_features: usize,
}

/// Small pictures are enlarged by no more than this.
pub const MAX_ENLARGEMENT: f32 = 4.0;

impl FeatureLimits {
    /// For sellers' photos.
    pub const PHOTO: Self = Self {
        min_side_px: 640,
        max_side_px: 640,
        max_features: 1000,
    };
    /// For reference pictures.
    pub const REFERENCE: Self = Self {
        min_side_px: 384,
        max_side_px: 512,
        max_features: 500,
    };
}

/// A feature's place, in pixels of the picture it was found in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Keypoint {
    /// From the left edge.
    pub x: f32,
    /// From the top edge.
    pub y: f32,
    /// Blur at which it is found: a blob's radius is about 1.4 times it.
    pub sigma: f32,
    /// Direction, radians `0..TAU`, from the x axis towards the y axis (down).
    pub angle: f32,
}

/// What was done to a picture whose features are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Variant {
    /// Mirrored left to right.
    pub mirrored: bool,
    /// Light and dark swapped.
    pub inverted: bool,
}

/// Features of one picture, strongest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LocalFeatures {
    width: u32,
    height: u32,
    keypoints: Vec<Keypoint>,
    descriptors: Vec<[u8; DESCRIPTOR_LEN]>,
}

impl LocalFeatures {
    /// Finds the features of a picture; none in an empty or even one. Single-threaded, and the same
    /// bits for the same pixels.
    pub fn extract(picture: &GrayImage, limits: &FeatureLimits) -> Self {
        let (width, height) = picture.dimensions();
        let mut features = Self {
            width,
            height,
            ..Self::default()
        };
        if width == 0 || height == 0 {
            return features;
        }
        let (plane, zoom) = working_picture(picture, limits);
        let octaves = scale_space::octaves(&plane, zoom[0].max(zoom[1]));
        let mut extrema = detect::extrema(&octaves);
        // Stable, so that ties keep the order of the scan.
        extrema.sort_by(|a, b| b.response.total_cmp(&a.response));
        for extremum in &extrema {
            if features.len() >= limits.max_features {
                break;
            }
            features.describe(&octaves, extremum, zoom);
        }
        features.keypoints.truncate(limits.max_features);
        features.descriptors.truncate(limits.max_features);
        features
    }

    fn describe(&mut self, octaves: &[Octave], extremum: &Extremum, zoom: [f32; 2]) {
        let layer = &octaves[extremum.octave].layers[extremum.layer];
        for angle in describe::directions(layer, extremum) {
            let Some(descriptor) = describe::descriptor(layer, extremum, angle) else {
                continue;
            };
            // Halving keeps every second pixel, so that pixel 0 stays pixel 0; a pixel's middle is at 0.5.
            let octave_px = (1u32 << extremum.octave) as f32;
            let keypoint = Keypoint {
                x: (extremum.x * octave_px + 0.5) / zoom[0],
                y: (extremum.y * octave_px + 0.5) / zoom[1],
                sigma: extremum.sigma * octave_px / zoom[0].max(zoom[1]),
                angle,
            };
            // As it comes back from storage, so that fresh and stored features verify alike.
            self.keypoints
                .push(bytes::rounded(&keypoint, self.width, self.height));
            self.descriptors.push(descriptor);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keypoints.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keypoints.is_empty()
    }

    /// Width and height of the picture, pixels.
    pub fn picture_size(&self) -> [u32; 2] {
        [self.width, self.height]
    }

    /// Places, in the order of [`descriptors`](Self::descriptors).
    pub fn keypoints(&self) -> &[Keypoint] {
        &self.keypoints
    }

    /// Descriptors, `u8`, `0..=127`, Euclidean length about 256.
    pub fn descriptors(&self) -> &[[u8; DESCRIPTOR_LEN]] {
        &self.descriptors
    }

    /// The features that the mirrored or inverted picture would have, computed without it: places
    /// move, numbers of descriptors change places.
    pub fn variant(&self, variant: Variant) -> Self {
        let position = |i: usize| {
            let i = if variant.mirrored {
                describe::mirrored_position(i)
            } else {
                i
            };
            if variant.inverted {
                describe::inverted_position(i)
            } else {
                i
            }
        };
        let order: [usize; DESCRIPTOR_LEN] = std::array::from_fn(position);
        let moved = |k: &Keypoint| {
            let mut k = *k;
            if variant.mirrored {
                k.x = self.width as f32 - k.x;
                k.angle = (PI - k.angle).rem_euclid(TAU);
            }
            if variant.inverted {
                k.angle = (k.angle + PI).rem_euclid(TAU);
            }
            k
        };
        Self {
            keypoints: self.keypoints.iter().map(moved).collect(),
            descriptors: self
                .descriptors
                .iter()
                .map(|d| order.map(|i| d[i]))
                .collect(),
            ..*self
        }
    }
}

/// The picture as `f32` at its working size, and by how much each axis was enlarged.
fn working_picture(picture: &GrayImage, limits: &FeatureLimits) -> (Plane, [f32; 2]) {
    let (width, height) = picture.dimensions();
    let longer = width.max(height) as f32;
    let wanted = longer.clamp(limits.min_side_px as f32, limits.max_side_px as f32);
    let factor = (wanted / longer).min(MAX_ENLARGEMENT);
    let scaled = |side: u32| ((side as f32 * factor).round() as u32).max(1);
    let (to_width, to_height) = (scaled(width), scaled(height));
    let resized = (to_width, to_height) != (width, height);
    let resized = resized.then(|| resized_to(picture, to_width, to_height));
    let source = resized.as_ref().unwrap_or(picture);
    let plane = Plane {
        width: to_width as usize,
        height: to_height as usize,
        values: source.as_raw().iter().map(|&v| f32::from(v)).collect(),
    };
    let zoom = [
        to_width as f32 / width as f32,
        to_height as f32 / height as f32,
    ];
    (plane, zoom)
}

/// A grey picture at another size; reductions average, enlargements interpolate linearly.
pub(super) fn resized_to(picture: &GrayImage, width: u32, height: u32) -> GrayImage {
    let mut to = GrayImage::new(width, height);
    let algorithm = fir::ResizeAlg::Convolution(fir::FilterType::Bilinear);
    let options = fir::ResizeOptions::new().resize_alg(algorithm);
    fir::Resizer::new()
        .resize(picture, &mut to, &options)
        .expect("two grey pictures of 8 bits");
    to
}

#[cfg(test)]
mod tests;
