//! Bundles that somebody has changed.

use super::*;

/// The bundle with other contents, whose record knows their hashes.
fn rewritten(bytes: &[u8], rewrite: impl FnOnce(&mut Entries, &mut Value)) -> Vec<u8> {
    let mut entries = unpack(bytes, Limits::DEFAULT).expect("a bundle");
    let mut record: Value = serde_json::from_slice(&entries[RECORD]).expect("JSON");
    rewrite(&mut entries, &mut record);
    let digests: BTreeMap<_, _> = entries
        .iter()
        .filter(|(name, _)| *name != RECORD)
        .map(|(name, bytes)| (name.clone(), FileDigest::of(bytes).to_hex()))
        .collect();
    record["entries"] = json!(digests);
    entries.insert(RECORD.to_owned(), record.to_string().into_bytes());
    pack(&entries, Limits::DEFAULT).expect("packed")
}

/// The bundle with another record, as it is.
fn with_record(bytes: &[u8], rewrite: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut entries = unpack(bytes, Limits::DEFAULT).expect("a bundle");
    let mut record: Value = serde_json::from_slice(&entries[RECORD]).expect("JSON");
    rewrite(&mut record);
    entries.insert(RECORD.to_owned(), record.to_string().into_bytes());
    pack(&entries, Limits::DEFAULT).expect("packed")
}

fn refusal(bytes: &[u8]) -> BundleFault {
    Bundle::from_bytes(bytes)
        .map(drop)
        .expect_err("tampered with")
}

#[test]
fn another_judge_is_named_with_every_number_that_it_changes() {
    let (engine, _folder) = registry(BIAS);
    let made = bundle_of(&engine);
    let folder = tempfile::tempdir().expect("a folder");
    let check = checked(&made.bytes, &self::engine(folder.path(), BIAS + 0.5));
    let what: Vec<&str> = check.differences.iter().map(|d| d.what.as_str()).collect();
    assert_eq!(what[0], "SHA-256 of judge");
    assert!(
        what.contains(&"findings[Brand 7 / Mark].probability"),
        "{what:?}"
    );
    assert!(!what.iter().any(|w| w.contains("measurements")), "{what:?}");
}

#[test]
fn a_changed_number_is_found_with_both_values() {
    let (engine, _folder) = registry(BIAS);
    let made = bundle_of(&engine);
    let changed = rewritten(&made.bytes, |entries, _| {
        let mut result: Value = serde_json::from_slice(&entries[RESULT]).expect("JSON");
        result["findings"][0]["probability"] = json!(0.5);
        entries.insert(RESULT.to_owned(), result.to_string().into_bytes());
    });
    let check = checked(&changed, &engine);
    assert_eq!(check.differences.len(), 1, "{:?}", check.differences);
    let difference = &check.differences[0];
    assert_eq!(difference.what, "findings[Brand 7 / Mark].probability");
    assert_eq!(difference.recorded, 0.5);
    assert!(difference.found.as_f64().expect("a number") > 0.9);
}

#[test]
fn spacing_and_order_are_not_the_same_either() {
    let (engine, _folder) = registry(BIAS);
    let made = bundle_of(&engine);
    let changed = rewritten(&made.bytes, |entries, _| {
        entries.get_mut(RESULT).expect("there").push(b' ');
    });
    let check = checked(&changed, &engine);
    assert_eq!(check.differences[0].what, "SHA-256 of result.json");
}

#[test]
fn another_photo_or_picture_under_the_same_numbers_is_found() {
    let (engine, _folder) = registry(BIAS);
    let made = bundle_of(&engine);
    let other = png(&picture(2000, [420, 300]));
    let exchanged = rewritten(&made.bytes, |entries, record| {
        record["photo"]["sha256"] = json!(FileDigest::of(&other).to_hex());
        record["photo"]["n_bytes"] = json!(other.len());
        entries.insert("photo.png".into(), other.clone());
    });
    assert!(!checked(&exchanged, &engine).is_same());
    let overlay = rewritten(&made.bytes, |entries, _| {
        entries.insert("overlays/0001.jpg".into(), b"another picture".to_vec());
        entries.insert("overlays/0002.jpg".into(), b"one too many".to_vec());
    });
    let check = checked(&overlay, &engine);
    let what: Vec<&str> = check.differences.iter().map(|d| d.what.as_str()).collect();
    assert_eq!(
        what,
        [
            "SHA-256 of overlays/0001.jpg",
            "SHA-256 of overlays/0002.jpg"
        ]
    );
}

#[test]
fn entries_that_are_not_the_recorded_ones_are_refused() {
    let (engine, _folder) = registry(BIAS);
    let made = bundle_of(&engine);
    let edited = |edit: fn(&mut Entries)| {
        let mut entries = unpack(&made.bytes, Limits::DEFAULT).expect("a bundle");
        edit(&mut entries);
        refusal(&pack(&entries, Limits::DEFAULT).expect("packed"))
    };
    let fault = edited(|e| e.get_mut("photo.png").expect("there")[60] ^= 1);
    assert!(matches!(fault, BundleFault::WrongHash { .. }), "{fault}");
    let fault = edited(|e| drop(e.remove("photo.png")));
    assert!(matches!(fault, BundleFault::Missing { .. }), "{fault}");
    let fault = edited(|e| drop(e.remove(RECORD)));
    assert!(matches!(fault, BundleFault::Missing { .. }), "{fault}");
    let fault = edited(|e| drop(e.insert("extra.txt".into(), vec![1])));
    assert!(matches!(fault, BundleFault::Unlisted { .. }), "{fault}");
}

#[test]
fn records_that_cannot_be_right_are_refused() {
    let (engine, _folder) = registry(BIAS);
    let made = bundle_of(&engine);
    let refused = |edit: fn(&mut Value)| refusal(&with_record(&made.bytes, edit));
    let fault = refused(|r| r["format_version"] = json!(2));
    assert!(
        matches!(fault, BundleFault::UnknownVersion { found: 2, .. }),
        "{fault}"
    );
    let fault = refused(|r| r["format"] = json!("other"));
    assert!(matches!(fault, BundleFault::BadRecord { .. }), "{fault}");
    let fault = refused(|r| r["surprise"] = json!(1));
    assert!(matches!(fault, BundleFault::BadJson(_)), "{fault}");
    let fault = refused(|r| r["photo"]["sha256"] = json!("00"));
    assert!(matches!(fault, BundleFault::BadJson(_)), "{fault}");
    let fault = refused(|r| r["photo"]["sha256"] = json!("0".repeat(64)));
    assert!(matches!(fault, BundleFault::BadRecord { .. }), "{fault}");
    let fault = refused(|r| r["photo"]["entry"] = json!("../photo.png"));
    assert!(matches!(fault, BundleFault::Missing { .. }), "{fault}");
    let fault = refused(|r| r["photo"]["entry"] = json!("bundle.json"));
    assert!(matches!(fault, BundleFault::BadRecord { .. }), "{fault}");
    let fault = refused(|r| r["assets"].as_array_mut().expect("a list").reverse());
    assert!(matches!(fault, BundleFault::BadRecord { .. }), "{fault}");
    let swapped = rewritten(&made.bytes, |entries, record| {
        // The hash of another entry.
        record["photo"]["sha256"] = json!(FileDigest::of(&entries[RESULT]).to_hex());
    });
    assert!(matches!(refusal(&swapped), BundleFault::BadRecord { .. }));
}

#[test]
fn settings_and_assets_that_cannot_be_are_refused_before_anything_runs() {
    let (engine, _folder) = registry(BIAS);
    let made = bundle_of(&engine);
    for edit in [
        |r: &mut Value| r["settings"]["stages"] = json!(["magic"]),
        |r: &mut Value| r["settings"]["review_at"] = json!(7.0),
    ] {
        let bundle = Bundle::from_bytes(&with_record(&made.bytes, edit)).expect("a bundle");
        let error = bundle
            .settings(engine.settings().clone())
            .expect_err("no such setting");
        assert!(matches!(error, EvidenceError::Refused(_)), "{error}");
    }
    let twice = with_record(&made.bytes, |record| {
        let mut asset = record["assets"][0].clone();
        asset["id"] = json!(999);
        record["assets"].as_array_mut().expect("a list").push(asset);
    });
    let bundle = Bundle::from_bytes(&twice).expect("a bundle");
    let empty = engine.with_empty_registry().expect("an engine");
    let error = check(&bundle, &empty).expect_err("one asset twice");
    assert!(error.to_string().contains("there twice"), "{error}");
}
