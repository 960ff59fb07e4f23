use image::imageops;
use image::{GrayImage, Luma};

use super::*;
use crate::matching::features::FeatureLimits;
use transform::inverse;

const PLAIN: [Variant; 1] = [Variant {
    mirrored: false,
    inverted: false,
}];
const ALL: [Variant; 4] = [
    PLAIN[0],
    Variant {
        mirrored: true,
        inverted: false,
    },
    Variant {
        mirrored: false,
        inverted: true,
    },
    Variant {
        mirrored: true,
        inverted: true,
    },
];

/// Boxes and discs at fixed pseudo-random places.
fn drawing(size: u32, seed: u32) -> GrayImage {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let mut next = move |n: u32| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state % n) as i32
    };
    let mut picture = GrayImage::from_pixel(size, size, Luma([128]));
    for _ in 0..70 {
        let (x, y, w, h) = (
            next(size),
            next(size),
            3 + next(size / 8),
            3 + next(size / 8),
        );
        let (round, grey) = (next(2) == 0, next(256) as u8);
        for (px, py, pixel) in picture.enumerate_pixels_mut() {
            let (dx, dy) = ((px as i32 - x).abs(), (py as i32 - y).abs());
            if dx < w && dy < h && (!round || dx * dx + dy * dy < w * w) {
                *pixel = Luma([grey]);
            }
        }
    }
    imageops::blur(&picture, 0.8)
}

/// `picture` put into a photo of other things by `transform`.
fn pasted(picture: &GrayImage, transform: &Transform, photo: &GrayImage) -> GrayImage {
    let back = inverse(transform).expect("regular");
    GrayImage::from_fn(photo.width(), photo.height(), |x, y| {
        let [u, v] = apply(&back, [f64::from(x) + 0.5, f64::from(y) + 0.5]);
        let (u, v) = (u as f32 - 0.5, v as f32 - 0.5);
        imageops::interpolate_bilinear(picture, u, v).unwrap_or(*photo.get_pixel(x, y))
    })
}

fn features(picture: &GrayImage) -> LocalFeatures {
    LocalFeatures::extract(picture, &FeatureLimits::PHOTO)
}

struct Case {
    name: &'static str,
    transform: Transform,
    variant: Variant,
}

fn check(case: &Case) {
    let reference = drawing(240, 11);
    let mut shown = reference.clone();
    if case.variant.inverted {
        imageops::invert(&mut shown);
    }
    let photo = pasted(&shown, &case.transform, &drawing(420, 77));
    let found = verify(&features(&reference), &features(&photo), &ALL).expect(case.name);
    assert_eq!(found.variant, case.variant, "{}", case.name);
    assert!(found.inliers >= 20, "{}: {found:?}", case.name);
    assert!(found.reference_coverage > 0.5, "{}: {found:?}", case.name);
    assert!(
        found.reprojection_error_px < 2.0,
        "{}: {found:?}",
        case.name
    );
    let corners = [[0.0, 0.0], [240.0, 0.0], [240.0, 240.0], [0.0, 240.0]];
    for (corner, actual) in corners.iter().zip(found.quad) {
        let expected = apply(&case.transform, *corner);
        let off = distance(expected, actual.map(f64::from));
        assert!(off < 6.0, "{}: {expected:?} {actual:?}", case.name);
    }
    let covered = polygon::area(&found.quad.map(|p| p.map(f64::from))).abs() / (420.0 * 420.0);
    assert!(
        (f64::from(found.photo_coverage) - covered).abs() < 0.05,
        "{}",
        case.name
    );
}

#[test]
fn finds_the_transform_that_was_made() {
    let cases = [
        Case {
            name: "turned and reduced",
            transform: transform::similarity([0.0, 0.0], [180.0, 60.0], 0.8, 0.5),
            variant: ALL[0],
        },
        Case {
            name: "slanted",
            transform: [[1.2, 0.35, 40.0], [-0.15, 0.8, 120.0], [0.0, 0.0, 1.0]],
            variant: ALL[0],
        },
        Case {
            name: "seen from the side",
            transform: [[1.4, 0.1, 60.0], [0.1, 1.3, 50.0], [8e-4, 4e-4, 1.0]],
            variant: ALL[0],
        },
        Case {
            name: "mirrored",
            transform: [[-1.1, 0.2, 330.0], [0.2, 1.1, 40.0], [0.0, 0.0, 1.0]],
            variant: ALL[1],
        },
        Case {
            name: "inverted",
            transform: transform::similarity([0.0, 0.0], [90.0, 80.0], 1.1, -0.2),
            variant: ALL[2],
        },
        Case {
            name: "mirrored and inverted",
            transform: [[-1.0, 0.0, 320.0], [0.0, 1.0, 70.0], [0.0, 0.0, 1.0]],
            variant: ALL[3],
        },
    ];
    cases.iter().for_each(check);
}

#[test]
fn a_part_covers_only_its_part() {
    let reference = drawing(240, 12);
    let part = imageops::crop_imm(&reference, 0, 0, 120, 240).to_image();
    let shift = transform::similarity([0.0, 0.0], [150.0, 90.0], 1.0, 0.0);
    let photo = pasted(&part, &shift, &drawing(420, 78));
    let found = verify(&features(&reference), &features(&photo), &PLAIN).expect("half of it");
    assert!((0.3..0.6).contains(&found.reference_coverage), "{found:?}");
    assert!(found.places.iter().all(|[from, _]| from[0] < 124.0));
}

#[test]
fn several_copies_in_one_photo_do_not_hide_each_other() {
    let reference = drawing(240, 13);
    let mut photo = drawing(420, 79);
    for (x, y) in [(5.0, 10.0), (230.0, 20.0), (120.0, 225.0)] {
        let place = transform::similarity([0.0, 0.0], [x, y], 0.75, 0.0);
        photo = pasted(&reference, &place, &photo);
    }
    let found = verify(&features(&reference), &features(&photo), &PLAIN).expect("three of it");
    assert!(found.inliers > 25, "{found:?}");
}

#[test]
fn other_drawings_hardly_agree() {
    for seed in 0..6 {
        let (a, b) = (
            features(&drawing(240, 100 + seed)),
            features(&drawing(300, 200 + seed)),
        );
        let inliers = verify(&a, &b, &ALL).map_or(0, |found| found.inliers);
        assert!(inliers < 8, "{seed}: {inliers}");
    }
}

#[test]
fn nothing_agrees_with_nothing_and_results_repeat() {
    let none = LocalFeatures::default();
    let some = features(&drawing(240, 14));
    assert_eq!(verify(&none, &some, &ALL), None);
    assert_eq!(verify(&some, &none, &ALL), None);
    let itself = verify(&some, &some, &ALL).expect("itself");
    assert!(itself.inliers > some.len() / 2, "{}", itself.inliers);
    assert!(itself.reprojection_error_px < 0.01);
    assert_eq!(Some(itself), verify(&some, &some, &ALL));
}
