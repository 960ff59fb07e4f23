//! Against the Python package that the networks come from.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::*;
use crate::domain::Region;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What `rapidocr` 3.10.0 reads in some fixtures (longest side 640, no turned reading; written by
/// `models/export/words.py`); the keys are paths below `fixtures/grocery/`.
const REFERENCE: &str = include_str!("parity.json");
/// Below this the reference itself reads something else when a pixel changes.
const SURE: f32 = 0.9;
/// Share of the sure words that must come out alike in the same place.
const AGREEMENT: f32 = 0.9;

#[derive(Deserialize)]
struct ReferenceWord {
    text: String,
    confidence: f32,
    quad: [[f32; 2]; 4],
}

fn reader(options: ReadOptions) -> TextReader {
    TextReader::open(&Path::new(ROOT).join("models/ocr"), 1)
        .unwrap()
        .with_options(options)
}

fn is_same(reference: &ReferenceWord, word: &Word) -> bool {
    Region::around(&reference.quad).intersection_over_union(&Region::around(&word.quad)) > 0.6
        && strsim::normalized_levenshtein(&reference.text, &word.text) >= 0.75
}

#[test]
fn words_agree_with_the_python_package() {
    let reference: BTreeMap<String, Vec<ReferenceWord>> = serde_json::from_str(REFERENCE).unwrap();
    let reader = reader(ReadOptions {
        max_side_px: 640,
        closer_side_px: 0,
        try_turned: false,
        ..ReadOptions::default()
    });
    let (mut n_sure, mut missing) = (0, Vec::new());
    for (name, expected) in &reference {
        let path = Path::new(ROOT).join("fixtures/grocery").join(name);
        let picture = image::open(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .to_rgb8();
        let words = reader.read(&picture).unwrap();
        for sure in expected.iter().filter(|word| word.confidence >= SURE) {
            n_sure += 1;
            if !words.iter().any(|word| is_same(sure, word)) {
                missing.push(format!("{name}: {}", sure.text));
            }
        }
    }
    assert!(n_sure >= 20);
    let allowed = (n_sure as f32 * (1.0 - AGREEMENT)) as usize;
    assert!(missing.len() <= allowed, "{missing:?} of {n_sure}");
}

/// What is read at the first look stays; a closer look only adds, and does so on phone photos.
#[test]
fn a_closer_look_reads_more() {
    let once = reader(ReadOptions {
        closer_side_px: 0,
        ..ReadOptions::default()
    });
    let twice = reader(ReadOptions::default());
    let n_letters = |words: &[Word]| -> usize {
        let letters = |word: &Word| word.text.chars().filter(|c| c.is_alphabetic()).count();
        words.iter().map(letters).sum()
    };
    for name in ["god-morgon-orange-juice-3", "arla-sour-cream-1"] {
        let path = format!("{ROOT}/fixtures/grocery/photos/{name}.jpg");
        let photo = image::open(path).unwrap().to_rgb8();
        let (first, both) = (once.read(&photo).unwrap(), twice.read(&photo).unwrap());
        assert_eq!(both[..first.len()], first, "{name}");
        let added = &both[first.len()..];
        assert!(n_letters(added) >= 5, "{name}: {added:?}");
        let is_repeat = |word: &&Word| first.iter().any(|known| known.is_repeated_by(word));
        assert_eq!(added.iter().find(is_repeat), None, "{name}");
    }
}

#[test]
fn a_picture_without_text_has_no_words() {
    let reader = reader(ReadOptions::default());
    for (width, height) in [(300, 200), (1, 1), (3, 900)] {
        let plain = RgbImage::from_pixel(width, height, image::Rgb([120, 140, 90]));
        assert_eq!(reader.read(&plain).unwrap(), []);
    }
    assert_eq!(reader.read(&RgbImage::new(0, 0)).unwrap(), []);
}
