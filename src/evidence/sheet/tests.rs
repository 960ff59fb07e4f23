use super::*;
use crate::matching::features::Variant;

fn photo() -> RgbImage {
    RgbImage::from_pixel(400, 320, Rgb([40, 60, 200]))
}

fn reference() -> RgbImage {
    RgbImage::from_pixel(100, 80, Rgb([240, 240, 0]))
}

/// The reference twice as large at (100, 80) of the photo.
fn alignment() -> Alignment {
    let places = [[10.0, 10.0], [90.0, 10.0], [90.0, 70.0], [10.0, 70.0]];
    Alignment {
        transform: [[2.0, 0.0, 100.0], [0.0, 2.0, 80.0], [0.0, 0.0, 1.0]],
        n_matches: 4,
        inliers: 4,
        inlier_ratio: 1.0,
        reference_coverage: 1.0,
        photo_coverage: 0.25,
        reprojection_error_px: 0.0,
        quad: [[100.0, 80.0], [300.0, 80.0], [300.0, 240.0], [100.0, 240.0]],
        variant: Variant::default(),
        places: places
            .iter()
            .map(|&[x, y]| [[x, y], [100.0 + 2.0 * x, 80.0 + 2.0 * y]])
            .collect(),
    }
}

fn sheet<'a>(
    photo: &'a RgbImage,
    reference: &'a RgbImage,
    alignment: Option<&'a Alignment>,
) -> Sheet<'a> {
    Sheet {
        photo,
        reference,
        alignment,
        region: Region::new(100.0, 80.0, 200.0, 160.0),
        word: None,
        title: "Acme / Star: stolen photo, 99.0 %".into(),
        lines: vec!["41 points agree under one transform".into()],
        reference_name: "star.png".into(),
    }
}

fn share_of(picture: &RgbImage, colour: [u8; 3]) -> f64 {
    let near = |p: &&Rgb<u8>| (0..3).all(|c| p[c].abs_diff(colour[c]) < 8);
    picture.pixels().filter(near).count() as f64 / f64::from(picture.width() * picture.height())
}

#[test]
fn with_a_transform_the_reference_lies_half_transparent_on_the_photo() {
    let (photo, reference, alignment) = (photo(), reference(), alignment());
    let drawn = sheet(&photo, &reference, Some(&alignment))
        .draw()
        .expect("drawn");
    // Half of (40, 60, 200) and (240, 240, 0), on a quarter of one of two photos of 800 × 640.
    let mixed = share_of(&drawn, [140, 150, 100]);
    let pixels = f64::from(drawn.width() * drawn.height());
    let expected = 400.0 * 320.0 / pixels;
    assert!(
        (mixed - expected).abs() < 0.15 * expected,
        "{mixed} for {expected}"
    );
    assert!(share_of(&drawn, PLACE.colour) > 0.002);
    assert!(drawn.width() > 1800, "three columns");
}

#[test]
fn without_a_transform_the_two_stand_side_by_side() {
    let (photo, reference) = (photo(), reference());
    let drawn = sheet(&photo, &reference, None).draw().expect("drawn");
    assert_eq!(share_of(&drawn, [140, 150, 100]), 0.0);
    assert!(share_of(&drawn, [240, 240, 0]) > 0.05 && share_of(&drawn, PLACE.colour) > 0.001);
    assert!(drawn.width() < 1300, "two columns");
}

#[test]
fn odd_shapes_and_places_beyond_the_photo_can_be_drawn() {
    let thin = RgbImage::from_pixel(1, 900, Rgb([0; 3]));
    let mut far = alignment();
    far.quad = [
        [-1e9, 0.0],
        [1e9, f32::NAN],
        [5.0, 5.0],
        [f32::INFINITY, 2.0],
    ];
    far.transform = [[0.0; 3]; 3];
    far.places = vec![[[0.0, 0.0], [1e9, -1e9]]; 300];
    for (photo, reference) in [(&thin, &thin), (&photo(), &thin), (&thin, &reference())] {
        let mut sheet = sheet(photo, reference, Some(&far));
        sheet.region = Region::new(-50.0, 1e6, 1e7, 0.0);
        sheet.word = Some([[f32::NAN; 2]; 4]);
        sheet.title = "緑".repeat(3000);
        let drawn = sheet.draw().expect("drawn");
        assert!(drawn.width() <= 2200 && drawn.height() < 9000);
    }
}

#[test]
fn the_same_input_gives_the_same_pixels() {
    let (photo, reference, alignment) = (photo(), reference(), alignment());
    let draw = || {
        sheet(&photo, &reference, Some(&alignment))
            .draw()
            .expect("drawn")
    };
    assert_eq!(draw(), draw());
}
