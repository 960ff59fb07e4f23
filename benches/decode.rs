//! Time from bytes to prepared pixels, and from pixels to a network's input.

use std::hint::black_box;
use std::io::Cursor;

use criterion::{Criterion, criterion_group, criterion_main};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use touchstone::imaging::{DecodeLimits, Filter, decode, resize, to_tensor, trim};

/// Width and height of a phone's photo, and of what a marketplace keeps.
const LARGE: (u32, u32) = (4000, 3000);
const SMALL: (u32, u32) = (1152, 864);
/// As phones and marketplaces store them.
const JPEG_QUALITY: u8 = 85;
/// Side of the network's input.
const INPUT_SIDE: u32 = 224;

/// Soft shapes with fine grain: about as many coefficients as a real photo.
fn photo((width, height): (u32, u32)) -> RgbImage {
    let mut noise = 1u32;
    RgbImage::from_fn(width, height, |x, y| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = (noise >> 28) as f32;
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let wave =
            |f: f32, g: f32| 110.0 + 100.0 * (f * u * 40.0).sin() * (g * v * 30.0).cos() + grain;
        Rgb([
            wave(1.0, 1.3) as u8,
            wave(1.7, 0.6) as u8,
            wave(0.4, 2.1) as u8,
        ])
    })
}

fn jpeg(size: (u32, u32)) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .encode_image(&photo(size))
        .expect("memory");
    bytes
}

fn png(size: (u32, u32)) -> Vec<u8> {
    let mut bytes = Vec::new();
    DynamicImage::ImageRgb8(photo(size))
        .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
        .expect("memory");
    bytes
}

const SVG: &str = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 200 100'>\
    <path d='M10 10C40 90 60 -20 90 60S150 20 190 90L100 99Z' fill='#a00'/>\
    <circle cx='50' cy='50' r='30' opacity='.5'/><text x='20' y='60' font-size='30'>ACME</text></svg>";

fn decoding(c: &mut Criterion) {
    let limits = DecodeLimits::default();
    let files = [
        ("jpeg 12 MP", jpeg(LARGE)),
        ("jpeg 1 MP", jpeg(SMALL)),
        ("png 1 MP", png(SMALL)),
        ("svg", SVG.as_bytes().to_vec()),
    ];
    let mut group = c.benchmark_group("decode");
    group.sample_size(20);
    for (name, bytes) in &files {
        group.bench_function(*name, |b| b.iter(|| decode(black_box(bytes), &limits)));
    }
    group.finish();
}

fn preparing(c: &mut Criterion) {
    let picture = photo(SMALL);
    let input = resize(&picture, INPUT_SIDE, INPUT_SIDE, Filter::Bilinear);
    let mut group = c.benchmark_group("prepare");
    group.bench_function("resize 1 MP to input", |b| {
        b.iter(|| {
            resize(
                black_box(&picture),
                INPUT_SIDE,
                INPUT_SIDE,
                Filter::Bilinear,
            )
        });
    });
    group.bench_function("input to tensor", |b| {
        b.iter(|| {
            to_tensor(
                black_box(&input),
                [123.7, 116.3, 103.5],
                [0.017, 0.0175, 0.0174],
            )
        });
    });
    group.bench_function("trim 1 MP", |b| b.iter(|| trim(black_box(&picture))));
    group.finish();
}

criterion_group!(benches, decoding, preparing);
criterion_main!(benches);
