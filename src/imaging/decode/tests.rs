use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};
use proptest::prelude::*;

use super::*;

macro_rules! testdata {
    ($name:literal) => {
        include_bytes!(concat!("../testdata/", $name)).as_slice()
    };
}

fn limits() -> DecodeLimits {
    DecodeLimits::default()
}

fn photo(width: u32, height: u32) -> DynamicImage {
    let pixels = RgbImage::from_fn(width, height, |x, y| {
        Rgb([
            (x * 255 / width) as u8,
            (y * 255 / height) as u8,
            ((x / 8 + y / 8) % 2 * 200) as u8,
        ])
    });
    DynamicImage::ImageRgb8(pixels)
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image
        .write_to(&mut Cursor::new(&mut bytes), format)
        .expect("an encoder for the format");
    bytes
}

/// Red above, green at the bottom left, blue at the bottom right; upright 32 × 24.
fn assert_upright(picture: &Picture, name: &str) {
    assert_eq!(picture.original_size, [32, 24], "{name}");
    assert_eq!(picture.pixels.dimensions(), (32, 24), "{name}");
    let strongest = |x, y| {
        let p = picture.pixels.get_pixel(x, y).0;
        (0..3).max_by_key(|&c| p[c]).expect("three channels")
    };
    let seen = [
        strongest(4, 4),
        strongest(27, 4),
        strongest(4, 19),
        strongest(27, 19),
    ];
    assert_eq!(seen, [0, 0, 1, 2], "{name}");
}

#[test]
fn turns_every_orientation_upright() {
    let cases = [
        ("1", testdata!("orientation1.jpg")),
        ("2", testdata!("orientation2.jpg")),
        ("3", testdata!("orientation3.jpg")),
        ("4", testdata!("orientation4.jpg")),
        ("5", testdata!("orientation5.jpg")),
        ("6", testdata!("orientation6.jpg")),
        ("7", testdata!("orientation7.jpg")),
        ("8", testdata!("orientation8.jpg")),
        ("6 png", testdata!("orientation6.png")),
        ("6 webp", testdata!("orientation6.webp")),
        ("6 tiff", testdata!("orientation6.tif")),
    ];
    for (name, bytes) in cases {
        assert_upright(&decode(bytes, &limits()).expect(name), name);
    }
}

#[test]
fn reads_rare_variants() {
    let cases = [
        ("cmyk jpeg", testdata!("cmyk.jpg")),
        ("cmyk tiff", testdata!("cmyk.tif")),
        ("progressive", testdata!("progressive.jpg")),
        ("palette", testdata!("palette.png")),
        ("first frame", testdata!("animated.gif")),
    ];
    for (name, bytes) in cases {
        assert_upright(&decode(bytes, &limits()).expect(name), name);
    }
    let deep = decode(testdata!("grey16.png"), &limits())
        .expect("16 bits")
        .pixels;
    assert_eq!(
        (deep.get_pixel(0, 0).0, deep.get_pixel(0, 20).0),
        ([255; 3], [0; 3])
    );
    let grey = decode(testdata!("grey.jpg"), &limits())
        .expect("grey")
        .pixels;
    let Rgb([r, g, b]) = *grey.get_pixel(4, 4);
    assert!(r == g && g == b && r.abs_diff(76) < 4, "red is grey {r}");
}

#[test]
fn every_format_is_told_by_content() {
    let image = photo(90, 60);
    let formats = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Tiff,
        ImageFormat::Bmp,
    ];
    for format in formats {
        let picture = decode(&encoded(&image, format), &limits()).expect("a whole picture");
        assert_eq!(picture.pixels.dimensions(), (90, 60), "{format:?}");
    }
}

#[test]
fn large_pictures_shrink_and_say_by_how_much() {
    let picture =
        decode(&encoded(&photo(2000, 1500), ImageFormat::Jpeg), &limits()).expect("a photo");
    assert_eq!(picture.pixels.dimensions(), (1280, 960));
    assert_eq!(picture.original_size, [2000, 1500]);
    assert!((picture.to_original_scale() - 1.5625).abs() < 1e-6);
    let small = decode(&encoded(&photo(20, 10), ImageFormat::Png), &limits()).expect("a photo");
    assert_eq!(
        (small.pixels.dimensions(), small.to_original_scale()),
        ((20, 10), 1.0)
    );
}

#[test]
fn transparency_is_composed_on_white_and_kept_for_references() {
    let pixels = RgbaImage::from_fn(40, 40, |x, _| {
        if x < 20 {
            Rgba([255, 255, 255, 255])
        } else {
            Rgba([0, 0, 0, 0])
        }
    });
    let bytes = encoded(&DynamicImage::ImageRgba8(pixels), ImageFormat::Png);
    let shown = decode(&bytes, &limits()).expect("a PNG");
    assert!(shown.pixels.pixels().all(|p| p.0 == [255; 3]));
    let reference = decode_reference(&bytes, &limits())
        .expect("a PNG")
        .on_natural_ground();
    assert_eq!(reference.pixels.get_pixel(5, 5).0, [255; 3]);
    assert_eq!(reference.pixels.get_pixel(35, 5).0, [0; 3]);
}

#[test]
fn shrinking_does_not_bleed_invisible_colour() {
    let pixels = RgbaImage::from_fn(400, 400, |x, _| {
        if x % 2 == 0 {
            Rgba([0, 0, 200, 255])
        } else {
            Rgba([255, 0, 0, 0])
        }
    });
    let bytes = encoded(&DynamicImage::ImageRgba8(pixels), ImageFormat::Png);
    let small = DecodeLimits {
        max_side_px: 100,
        ..limits()
    };
    let reference = decode_reference(&bytes, &small).expect("a PNG");
    assert!(
        reference.pixels.pixels().all(|p| p[0] < 8),
        "red was never visible"
    );
}

/// Bytes of a PNG whose header announces a size that its body does not have.
fn announcing(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = encoded(&photo(16, 16), ImageFormat::Png);
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    bytes
}

#[test]
fn bombs_are_refused_from_their_header() {
    assert!(matches!(
        decode(&announcing(30_000, 10), &limits()),
        Err(ImagingError::SideTooLong {
            width: 30_000,
            height: 10,
            limit: 20_000
        })
    ));
    assert!(matches!(
        decode(&announcing(15_000, 15_000), &limits()),
        Err(ImagingError::TooManyPixels {
            actual: 225_000_000,
            limit: 100_000_000
        })
    ));
    assert!(matches!(
        decode(&announcing(9_999, 9_999), &limits()),
        Err(ImagingError::TooMuchMemory { .. })
    ));
    let tight = DecodeLimits {
        max_bytes: 10,
        ..limits()
    };
    assert!(matches!(
        decode(&announcing(16, 16), &tight),
        Err(ImagingError::TooManyBytes { limit: 10, .. })
    ));
}

#[test]
fn cut_files_say_so() {
    for format in [
        ImageFormat::Png,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Tiff,
        ImageFormat::Bmp,
    ] {
        let bytes = encoded(&photo(64, 48), format);
        let outcome = decode(&bytes[..bytes.len() * 2 / 3], &limits());
        assert!(
            matches!(outcome, Err(ImagingError::Truncated { .. })),
            "{format:?}: {outcome:?}"
        );
    }
    let jpeg = encoded(&photo(64, 48), ImageFormat::Jpeg);
    let outcome = decode(&jpeg[..60], &limits());
    assert!(
        matches!(outcome, Err(ImagingError::Truncated { .. })),
        "{outcome:?}"
    );
}

#[test]
fn a_cut_jpeg_is_read_as_browsers_show_it() {
    let image = photo(256, 256);
    let bytes = encoded(&image, ImageFormat::Jpeg);
    let picture = decode(&bytes[..bytes.len() * 3 / 4], &limits()).expect("the upper part");
    let whole = decode(&bytes, &limits()).expect("a JPEG");
    let rows = |p: &Picture| p.pixels.as_raw()[..256 * 3 * 128].to_vec();
    assert_eq!(rows(&picture), rows(&whole), "the upper half is there");
    assert_eq!(
        picture.pixels.get_pixel(128, 255).0,
        [128; 3],
        "what is missing is grey"
    );
}

#[test]
fn a_picture_inside_out_is_damaged_not_fatal() {
    let mut bytes = encoded(&photo(64, 48), ImageFormat::Png);
    for byte in bytes.iter_mut().skip(60).step_by(3) {
        *byte ^= 0x5a;
    }
    let error = decode(&bytes, &limits()).expect_err("a broken checksum");
    assert!(
        matches!(
            error,
            ImagingError::Damaged {
                format: PictureFormat::Png,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "the PNG file is damaged");
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = [
        testdata!("orientation6.jpg"),
        testdata!("progressive.jpg"),
        testdata!("cmyk.jpg"),
        testdata!("orientation6.png"),
        testdata!("orientation6.webp"),
        testdata!("orientation6.tif"),
        testdata!("cmyk.tif"),
        testdata!("animated.gif"),
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    seeds.push(encoded(&photo(24, 18), ImageFormat::Bmp));
    seeds.push(b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'><g opacity='.5'><rect width='5' height='5' fill='red'/><text y='8' font-size='4'>ab</text></g></svg>".to_vec());
    seeds
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes, &limits());
    }

    #[test]
    fn mutated_files_never_panic(
        which in 0usize..10,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        kept in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = seeds().swap_remove(which);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cut {
            bytes.truncate(kept.index(bytes.len()));
        }
        match decode(&bytes, &limits()) {
            Ok(picture) => prop_assert!(picture.pixels.width().max(picture.pixels.height()) <= 1280),
            Err(ImagingError::DecoderPanicked { format }) => prop_assert!(false, "{} panicked", format),
            Err(_) => {}
        }
    }
}
