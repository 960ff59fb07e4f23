//! Bundles of a registry that a fake network describes.

mod tampered;

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, Rgb, RgbImage, imageops};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::container::{Entries, Limits, pack, unpack};
use super::record::{RECORD, RESULT};
use super::*;
use crate::domain::{AssetDraft, AssetId, AssetKind, FileDigest, FindingKind};
use crate::embed::fake::FakeEmbedder;
use crate::engine::{Engine, Examination, Judgement, Stages, fake};
use crate::imaging::Picture;
use crate::matching::judge::{Feature, Judge, Logistic, Term};
use crate::ocr::Word;
use crate::store::Store;

/// More than are looked at closely, and more than one window's neighbours.
const N_BRANDS: u32 = 30;

/// A judge whose probabilities rise with agreeing points and with the lead over other brands.
fn judge(bias: f64) -> Judge {
    let term = |feature, weight| Term {
        feature,
        weight,
        missing: 0.0,
    };
    let model = Logistic {
        bias,
        terms: vec![
            term(Feature::WindowSimilarity, 1.0),
            term(Feature::WindowMargin, 1.0),
            term(Feature::Inliers, 2.0),
        ],
    };
    Judge {
        provenance: "made for tests".into(),
        models: BTreeMap::from([(FindingKind::LogoPresent, model)]),
    }
}

fn engine(folder: &Path, bias: f64) -> Engine {
    let judge = judge(bias);
    let judge_path = folder.join("judge.json");
    fs::write(&judge_path, serde_json::to_vec(&judge).expect("JSON")).expect("a file");
    let stages = Stages {
        words: false,
        ..Stages::all()
    };
    let store = Store::open_in_memory().expect("a store");
    let embedder = Box::new(FakeEmbedder::default());
    fake::engine(folder, stages, judge, embedder, store).expect("an engine")
}

/// Rectangles of any colour: no two seeds look alike, and each has corners to find.
fn picture(seed: u32, [width, height]: [u32; 2]) -> RgbImage {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let mut next = move |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let mut picture = RgbImage::from_pixel(width, height, Rgb([128; 3]));
    for _ in 0..60 {
        let colour = Rgb([0; 3].map(|_: u8| next(256) as u8));
        let (x, y) = (next(width), next(height));
        let (w, h) = (4 + next(width / 4), 4 + next(height / 4));
        for (x, y) in
            (x..(x + w).min(width)).flat_map(|x| (y..(y + h).min(height)).map(move |y| (x, y)))
        {
            picture.put_pixel(x, y, colour);
        }
    }
    picture
}

fn png(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .expect("a PNG");
    bytes.into_inner()
}

/// The picture of brand 7 on another one.
fn photo() -> Vec<u8> {
    let mut photo = picture(1000, [420, 300]);
    imageops::replace(&mut photo, &picture(7, [200, 150]), 120, 90);
    png(&photo)
}

/// An engine with a registry of its own, and its folder.
fn registry(bias: f64) -> (Engine, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path(), bias);
    for seed in 1..=N_BRANDS {
        let mut draft = AssetDraft::new(format!("Brand {seed}"), "Mark", AssetKind::Logo);
        draft.notes = Some("confidential".into());
        let bytes = png(&picture(seed, [200, 150]));
        engine
            .register(draft, &[(format!("{seed}.png"), bytes)])
            .expect("registered");
    }
    (engine, folder)
}

const BIAS: f64 = -6.0;

fn bundle_of(engine: &Engine) -> MadeBundle {
    let photo = photo();
    let examination = engine.examine(&photo, None).expect("examined");
    make_bundle(engine, "shoes.png", &photo, &examination).expect("made")
}

fn assert_same(check: &Check) {
    assert!(check.is_same(), "{:?}", check.differences);
    assert_eq!(check.circumstances, []);
}

fn checked(bytes: &[u8], engine: &Engine) -> Check {
    let bundle = Bundle::from_bytes(bytes).expect("a bundle");
    check(&bundle, &engine.with_empty_registry().expect("an engine")).expect("checked")
}

#[test]
fn a_bundle_holds_what_its_numbers_rest_on_and_reproduces_them() {
    let (engine, _folder) = registry(BIAS);
    let made = bundle_of(&engine);
    assert_same(&made.check);
    let bundle = Bundle::from_bytes(&made.bytes).expect("a bundle");
    assert_eq!(bundle.sha256(), FileDigest::of(&made.bytes));
    let record = bundle.record();
    let roles: Vec<_> = record.assets.iter().map(|a| (a.id.0, a.role)).collect();
    assert!(roles.contains(&(7, AssetRole::Subject)), "{roles:?}");
    assert!(
        (2..=16).contains(&roles.len()),
        "its rivals, all eight that were looked at closely and theirs, and not the registry: {roles:?}"
    );
    let entries = unpack(&made.bytes, Limits::DEFAULT).expect("good");
    assert_eq!(entries["photo.png"], photo());
    assert!(entries.contains_key("overlays/0001.jpg"));
    let text = String::from_utf8_lossy(&entries[RECORD]);
    assert!(!text.contains("confidential"), "notes stay at home");
    let result: Value = serde_json::from_slice(&entries[RESULT]).expect("JSON");
    assert_eq!(result["findings"][0]["brand"], "Brand 7");
    assert!(result["findings"][0]["log_odds"].is_f64());
    // The same in another engine, which knows nothing of the registry.
    let folder = tempfile::tempdir().expect("a folder");
    assert_same(&checked(&made.bytes, &self::engine(folder.path(), BIAS)));
}

#[test]
fn what_an_asset_rests_on_gives_it_the_same_numbers_whatever_its_rank() {
    let (engine, _folder) = registry(BIAS);
    let photo = photo();
    let examination = engine.examine(&photo, None).expect("examined");
    let verified = &examination.verified;
    assert!(verified.len() > 20, "only {} candidates", verified.len());
    for rank in [0, 1, 9, 15, 16, 20] {
        let subject = verified[rank].candidate.asset_id;
        let basis = engine.basis(&examination, &[subject]);
        let again = engine.with_empty_registry().expect("an engine");
        let mut new_id = None;
        for &id in &basis.assets {
            let draft = engine.store().asset(id).expect("registered").draft;
            let picture = engine
                .store()
                .pictures_of(id)
                .expect("registered")
                .remove(0);
            let bytes = engine
                .store()
                .picture_bytes(picture.id)
                .expect("registered");
            let registered = again
                .register(draft, &[("a".into(), bytes)])
                .expect("registered");
            if id == subject {
                new_id = Some(registered.asset_id);
            }
        }
        let found = again.examine(&photo, None).expect("examined");
        let found = found
            .verified(new_id.expect("among them"))
            .expect("a candidate");
        let expected = &verified[rank].candidate.measured;
        assert_eq!(
            found.candidate.measured, *expected,
            "rank {rank} of {basis:?}"
        );
    }
}

#[test]
fn words_that_are_marks_of_others_belong_to_what_numbers_rest_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path(), BIAS);
    let register = |brand: &str| {
        let draft = AssetDraft::new(brand, "Mark", AssetKind::Logo);
        engine.register(draft, &[]).expect("registered").asset_id
    };
    let [zumbra, zumba, _other] = ["Zumbra", "Zumba", "Quillfish"].map(register);
    let word = Word {
        text: "ZUMBA".into(),
        confidence: 0.98,
        quad: [[0.0, 0.0], [90.0, 0.0], [90.0, 20.0], [0.0, 20.0]],
    };
    let examination = Examination {
        photo: Picture {
            pixels: RgbImage::new(100, 100),
            original_size: [100, 100],
        },
        words: vec![word],
        verified: Vec::new(),
        judgement: Judgement::default(),
        revision: 3,
        lessons: Default::default(),
        timings_ms: Default::default(),
    };
    let basis = engine.basis(&examination, &[zumbra]);
    assert!(basis.assets.contains(&zumbra) && basis.assets.len() == 1);
    assert!(basis.words_only.contains(&zumba) && basis.words_only.len() == 1);
}

#[test]
fn a_photo_with_nothing_on_it_tells_what_came_nearest() {
    let (engine, _folder) = registry(-60.0);
    let made = bundle_of(&engine);
    assert_same(&made.check);
    let entries = unpack(&made.bytes, Limits::DEFAULT).expect("good");
    let result: Value = serde_json::from_slice(&entries[RESULT]).expect("JSON");
    assert_eq!(result["verdict"], "Clear");
    assert_eq!(result["findings"], json!([]));
    assert_eq!(result["compared"][0]["brand"], "Brand 7");
    let folder = tempfile::tempdir().expect("a folder");
    let empty = self::engine(folder.path(), BIAS);
    let made = bundle_of(&empty);
    assert_same(&made.check);
}

#[test]
fn pictures_of_findings_are_written_once_and_never_over_others() {
    let (engine, _folder) = registry(BIAS);
    let photo = photo();
    let examination = engine.examine(&photo, None).expect("examined");
    let findings = examination.verdict(&engine.settings().policy).findings;
    let out = tempfile::tempdir().expect("a folder");
    let label = PhotoLabel {
        name: "shoes.png",
        sha256: FileDigest::of(&photo),
    };
    let write = || write_findings(&engine, &examination, &findings, label, out.path());
    let files = write().expect("written");
    assert_eq!(files.len(), findings.len());
    let drawn = image::open(&files[0]).expect("a JPEG");
    assert!(drawn.width() > 900 && drawn.height() > 500);
    assert_eq!(write().expect("the same again"), files);
    fs::write(&files[0], b"notes of a colleague").expect("a file");
    let error = write().expect_err("another file");
    assert!(matches!(error, EvidenceError::Exists { .. }), "{error}");
    engine.store().remove_asset(AssetId(7)).expect("removed");
    let gone = draw_finding(&engine, &examination, &findings[0], label);
    // Its features may still be remembered, its name is not.
    assert!(gone.is_err());
}
