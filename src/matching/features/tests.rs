use image::imageops;
use image::{GrayImage, Luma};
use proptest::prelude::*;

use super::*;

/// Discs, boxes and strokes of many sizes at fixed pseudo-random places.
fn drawing(width: u32, height: u32, seed: u32) -> GrayImage {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let mut next = move |n: u32| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state % n
    };
    let mut picture = GrayImage::from_pixel(width, height, Luma([128]));
    for _ in 0..90 {
        let (x, y) = (next(width) as i32, next(height) as i32);
        let (w, h) = (3 + next(width / 8) as i32, 3 + next(height / 8) as i32);
        let (round, grey) = (next(2) == 0, next(256) as u8);
        for (px, py, pixel) in picture.enumerate_pixels_mut() {
            let (dx, dy) = ((px as i32 - x).abs(), (py as i32 - y).abs());
            let inside = dx < w && dy < h && (!round || dx * dx + dy * dy < w * w);
            if inside {
                *pixel = Luma([grey]);
            }
        }
    }
    imageops::blur(&picture, 0.8)
}

const LIMITS: FeatureLimits = FeatureLimits {
    min_side_px: 300,
    max_side_px: 300,
    max_features: 400,
};

/// Share of `a`'s features that `b` has at the same place, direction and size, descriptor within
/// `tolerance`.
fn share_found(a: &LocalFeatures, b: &LocalFeatures, tolerance: u32) -> f32 {
    let near = |i: usize, j: usize| {
        let (p, q) = (a.keypoints()[i], b.keypoints()[j]);
        let turn = (p.angle - q.angle).abs();
        let distance: u32 = std::iter::zip(a.descriptors()[i], b.descriptors()[j])
            .map(|(x, y)| u32::from(x.abs_diff(y)).pow(2))
            .sum();
        (p.x - q.x).hypot(p.y - q.y) < 1.0
            && turn.min(TAU - turn) < 0.1
            && (p.sigma / q.sigma).ln().abs() < 0.1
            && distance < tolerance * tolerance
    };
    let found = (0..a.len())
        .filter(|&i| (0..b.len()).any(|j| near(i, j)))
        .count();
    found as f32 / a.len() as f32
}

#[test]
fn the_same_pixels_give_the_same_features() {
    let picture = drawing(300, 220, 1);
    let first = LocalFeatures::extract(&picture, &LIMITS);
    assert!(first.len() > 100, "{}", first.len());
    assert_eq!(first, LocalFeatures::extract(&picture, &LIMITS));
}

#[test]
fn a_mirrored_picture_has_the_mirrored_features() {
    let picture = drawing(300, 220, 2);
    let variant = Variant {
        mirrored: true,
        inverted: false,
    };
    let computed = LocalFeatures::extract(&picture, &LIMITS).variant(variant);
    let found = LocalFeatures::extract(&imageops::flip_horizontal(&picture), &LIMITS);
    let share = share_found(&computed, &found, 40);
    assert!(share > 0.85, "{share}");
}

#[test]
fn an_inverted_picture_has_the_inverted_features() {
    let mut picture = drawing(300, 220, 3);
    let variant = Variant {
        mirrored: false,
        inverted: true,
    };
    let computed = LocalFeatures::extract(&picture, &LIMITS).variant(variant);
    imageops::invert(&mut picture);
    let found = LocalFeatures::extract(&picture, &LIMITS);
    let share = share_found(&computed, &found, 40);
    assert!(share > 0.9, "{share}");
}

#[test]
fn places_are_in_pixels_of_the_picture_whatever_the_working_size() {
    let picture = drawing(300, 220, 4);
    let large = imageops::resize(&picture, 600, 440, imageops::FilterType::Triangle);
    let small = LocalFeatures::extract(&picture, &LIMITS);
    let mut reduced = LocalFeatures::extract(&large, &LIMITS);
    assert_eq!(reduced.picture_size(), [600, 440]);
    for k in &mut reduced.keypoints {
        (k.x, k.y, k.sigma) = (k.x / 2.0, k.y / 2.0, k.sigma / 2.0);
    }
    let share = share_found(&small, &reduced, 80);
    assert!(share > 0.7, "{share}");
}

#[test]
fn keeps_the_strongest_up_to_the_limit() {
    let picture = drawing(300, 220, 5);
    let all = LocalFeatures::extract(&picture, &LIMITS);
    let few = LocalFeatures::extract(
        &picture,
        &FeatureLimits {
            max_features: 31,
            ..LIMITS
        },
    );
    assert_eq!(few.keypoints(), &all.keypoints()[..31]);
}

#[test]
fn odd_pictures_have_no_features_and_do_no_harm() {
    for (w, h) in [(0, 0), (1, 1), (1, 500), (3000, 2), (15, 15)] {
        let even = GrayImage::from_pixel(w, h, Luma([200]));
        let features = LocalFeatures::extract(&even, &FeatureLimits::PHOTO);
        assert_eq!((features.len(), features.picture_size()), (0, [w, h]));
        let stored = LocalFeatures::from_bytes(&features.to_bytes());
        assert_eq!(stored, Ok(features));
    }
}

#[test]
fn storage_gives_back_the_same_bits() {
    let features = LocalFeatures::extract(&drawing(300, 220, 6), &LIMITS);
    let bytes = features.to_bytes();
    assert_eq!(bytes.len(), 16 + 136 * features.len());
    assert_eq!(LocalFeatures::from_bytes(&bytes), Ok(features));
}

#[test]
fn damaged_bytes_are_refused_with_what_is_wrong() {
    let features = LocalFeatures::extract(&drawing(300, 220, 7), &LIMITS);
    let good = features.to_bytes();
    let (expected, actual) = (good.len(), good.len() - 1);
    assert_eq!(
        LocalFeatures::from_bytes(&good[..actual]),
        Err(FeatureError::WrongLength { expected, actual })
    );
    let mut many = good.clone();
    many[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(
        LocalFeatures::from_bytes(&many),
        Err(FeatureError::WrongLength { .. })
    ));
    let mut loud = good.clone();
    *loud.last_mut().expect("a byte") = 128;
    assert_eq!(
        LocalFeatures::from_bytes(&loud),
        Err(FeatureError::Descriptor {
            feature_idx: features.len() - 1,
            found: 128,
            limit: 127
        })
    );
    let mut flat = good;
    flat[4..8].copy_from_slice(&0u32.to_le_bytes());
    assert!(matches!(
        LocalFeatures::from_bytes(&flat),
        Err(FeatureError::PictureSize { width: 0, .. })
    ));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..600), known in any::<bool>()) {
        if known && bytes.len() >= 16 {
            bytes[..4].copy_from_slice(b"TSF1");
            bytes[12..16].copy_from_slice(&3u32.to_le_bytes());
        }
        if let Ok(features) = LocalFeatures::from_bytes(&bytes) {
            prop_assert_eq!(features.to_bytes().len(), bytes.len());
        }
    }

    #[test]
    fn noise_never_panics(
        width in 1u32..90,
        height in 1u32..90,
        pixels in prop::collection::vec(any::<u8>(), 90 * 90),
    ) {
        let picture = GrayImage::from_fn(width, height, |x, y| Luma([pixels[(y * 90 + x) as usize]]));
        let features = LocalFeatures::extract(&picture, &LIMITS);
        let inside = |k: &Keypoint| {
            (0.0..=width as f32).contains(&k.x) && (0.0..=height as f32).contains(&k.y) && k.sigma > 0.0
        };
        prop_assert!(features.keypoints().iter().all(inside));
        prop_assert!(features.descriptors().as_flattened().iter().all(|v| *v <= DESCRIPTOR_MAX));
    }
}
