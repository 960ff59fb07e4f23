//! Evidence as its users make and check it: real networks, real files, another home.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use touchstone::domain::FileDigest;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::cli::Program;

const COPY: &str = "fixtures/photos/copy-oatly-oat-milk-crop.jpg";

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A program on all fixtures, and the bundle of the copied photo.
fn bundle() -> (Program, PathBuf) {
    let program = Program::new();
    program.done(&["register", "fixtures/assets.csv"]);
    let bundle = program.path("case.zip");
    program.done(&["match", COPY, "--bundle", text(&bundle)]);
    (program, bundle)
}

fn entries(bundle: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = fs::read(bundle).expect("a bundle");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).expect("a zip archive");
    (0..archive.len())
        .map(|position| {
            let mut entry = archive.by_index(position).expect("an entry");
            let name = entry.name().expect("UTF-8").into_owned();
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents).expect("whole");
            (name, contents)
        })
        .collect()
}

fn write_zip<'a>(path: &Path, entries: impl Iterator<Item = (&'a str, &'a [u8])>) {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, contents) in entries {
        archive
            .start_file(name, SimpleFileOptions::default())
            .expect("started");
        archive.write_all(contents).expect("written");
    }
    let bytes = archive.finish().expect("finished").into_inner();
    fs::write(path, bytes).expect("a file");
}

/// Writes the entries, the record knowing their hashes.
fn write_consistent(path: &Path, mut entries: BTreeMap<String, Vec<u8>>) {
    let mut record: Value = serde_json::from_slice(&entries["bundle.json"]).expect("JSON");
    for (name, digest) in record["entries"].as_object_mut().expect("hashes") {
        *digest = json!(FileDigest::of(&entries[name]).to_hex());
    }
    entries.insert("bundle.json".into(), record.to_string().into_bytes());
    write_zip(
        path,
        entries
            .iter()
            .map(|(name, contents)| (name.as_str(), contents.as_slice())),
    );
}

#[test]
fn each_finding_has_a_picture_that_the_answer_names() {
    let program = Program::new();
    program.done(&["register", "fixtures/assets.csv"]);
    let folder = program.path("new/evidence");
    let arguments = ["match", "--json", COPY, "--evidence", text(&folder)];
    let answer = program.done(&arguments).json();
    let picture = answer[0]["findings"][0]["evidence"]
        .as_str()
        .expect("a file");
    assert!(picture.ends_with("-1.jpg") && picture.contains("copy-oatly-oat-milk-crop-"));
    let drawn = image::open(picture).expect("a picture");
    assert!(drawn.width() >= 1000 && drawn.height() >= 400);
    // The same picture again is no conflict, another one is.
    program.done(&arguments);
    fs::write(picture, b"mine").expect("a file");
    let ran = program.run(&arguments);
    assert_eq!(ran.code(), 1);
    assert!(
        ran.stderr().contains("is there already"),
        "{}",
        ran.stderr()
    );
    assert_eq!(
        ran.json()[0]["verdict"],
        "Flagged",
        "the answer is not lost"
    );
    assert_eq!(fs::read(picture).expect("there"), b"mine");
}

#[test]
fn a_bundle_reproduces_elsewhere_without_a_home() {
    let (_program, bundle) = bundle();
    let elsewhere = Program::new();
    let ran = elsewhere.done(&["verify", "--json", text(&bundle)]);
    let check = ran.json();
    assert_eq!(check["is_same"], true);
    assert_eq!(
        (&check["differences"], &check["circumstances"]),
        (&json!([]), &json!([]))
    );
    assert!(!elsewhere.path("home").exists(), "nothing is written");
    let digest = FileDigest::of(&fs::read(&bundle).expect("a bundle")).to_hex();
    assert_eq!(check["sha256"], digest.as_str());
    let shown = elsewhere.done(&["verify", text(&bundle)]).stdout();
    assert!(
        shown.starts_with("Same") && shown.contains(&digest),
        "{shown}"
    );

    let entries = entries(&bundle);
    assert_eq!(entries["photo.jpg"], fs::read(COPY).expect("a fixture"));
    let record: Value = serde_json::from_slice(&entries["bundle.json"]).expect("JSON");
    assert!(record["tool"]["files"]["network"].is_string());
    assert!(record["made_at"].as_str().expect("a time").ends_with('Z'));
    let n_assets = record["assets"].as_array().expect("a list").len();
    assert!((2..=12).contains(&n_assets), "{n_assets} assets");
}

#[test]
fn a_photo_with_nothing_on_it_has_a_bundle_too() {
    let program = Program::new();
    program.done(&["register", "fixtures/assets.csv"]);
    let bundle = program.path("clear.zip");
    let photo = "fixtures/grocery/photos/nothing-5.jpg";
    let answer = program
        .done(&["match", "--json", photo, "--bundle", text(&bundle)])
        .json();
    assert_eq!(answer[0]["verdict"], "Clear");
    assert_eq!(answer[0]["bundle"]["is_reproduced"], true);
    program.done(&["verify", text(&bundle)]);
}

#[test]
fn a_photo_with_words_is_reproduced_and_who_is_there_for_words_alone_shows_no_picture() {
    let program = Program::new();
    program.done(&["register", "fixtures/assets.csv"]);
    let bundle = program.path("words.zip");
    // "Arla" is read, which is the word of another asset of that brand too.
    let photo = "fixtures/photos/copy-arla-sour-cream-text.jpg";
    let answer = program
        .done(&["match", "--json", photo, "--bundle", text(&bundle)])
        .json();
    assert_eq!(answer[0]["bundle"]["is_reproduced"], true);
    let record: Value = serde_json::from_slice(&entries(&bundle)["bundle.json"]).expect("JSON");
    let assets = record["assets"].as_array().expect("a list");
    assert!(assets.iter().any(|a| a["role"] == "subject"), "{assets:?}");
    for asset in assets {
        let has_pictures = asset["pictures"] != json!([]);
        assert_eq!(has_pictures, asset["role"] != "words", "{asset}");
    }
}

#[test]
fn another_judge_is_told_with_old_and_new_numbers() {
    let (program, bundle) = bundle();
    let mut judge: Value =
        serde_json::from_slice(&fs::read("models/judge.json").expect("a judge")).expect("JSON");
    let bias = &mut judge["models"]["StolenPhoto"]["bias"];
    *bias = json!(bias.as_f64().expect("a number") - 0.25);
    let other = program.path("judge.json");
    fs::write(&other, judge.to_string()).expect("a file");
    let ran = program.run(&["--judge", text(&other), "verify", "--json", text(&bundle)]);
    assert_eq!(ran.code(), 1, "{}", ran.stderr());
    let check = ran.json();
    let differences = check["differences"].as_array().expect("a list");
    assert_eq!(differences[0]["what"], "SHA-256 of judge");
    let changed = |d: &&Value| d["what"].as_str().is_some_and(|w| w.ends_with(".log_odds"));
    let log_odds = differences.iter().find(changed).expect("another number");
    let [old, new] = ["recorded", "found"].map(|side| log_odds[side].as_f64().expect("a number"));
    assert!((old - new - 0.25).abs() < 1e-9, "{old} {new}");
    let shown = program
        .run(&["--judge", text(&other), "verify", text(&bundle)])
        .stdout();
    assert!(
        shown.starts_with("Differs") && shown.contains(&old.to_string()),
        "{shown}"
    );
}

#[test]
fn a_changed_number_is_told_and_a_changed_byte_refused() {
    let (program, bundle) = bundle();
    let mut entries = entries(&bundle);
    let mut result: Value = serde_json::from_slice(&entries["result.json"]).expect("JSON");
    let recorded = result["findings"][0]["measurements"]["ncc"]
        .as_f64()
        .expect("a number");
    result["findings"][0]["measurements"]["ncc"] = json!(0.25);
    entries.insert("result.json".into(), result.to_string().into_bytes());
    let changed = program.path("changed.zip");
    write_consistent(&changed, entries);
    let ran = program.run(&["verify", "--json", text(&changed)]);
    assert_eq!(ran.code(), 1, "{}", ran.stderr());
    let check = ran.json();
    assert_eq!(
        check["differences"].as_array().expect("a list").len(),
        1,
        "{check}"
    );
    let difference = &check["differences"][0];
    assert!(
        difference["what"]
            .as_str()
            .expect("text")
            .ends_with(".measurements.ncc")
    );
    assert_eq!(
        (
            difference["recorded"].as_f64(),
            difference["found"].as_f64()
        ),
        (Some(0.25), Some(recorded))
    );

    // The photo is kept as it is, so that its bytes are there to be changed.
    let mut bytes = fs::read(&bundle).expect("a bundle");
    let photo = fs::read(COPY).expect("a fixture");
    let at = bytes
        .windows(64)
        .position(|w| w == &photo[100..164])
        .expect("the photo");
    bytes[at] ^= 1;
    fs::write(&changed, bytes).expect("a file");
    let ran = program.run(&["verify", text(&changed)]);
    assert_eq!(ran.code(), 2, "{}", ran.stdout());
    assert!(ran.stderr().contains("photo.jpg"), "{}", ran.stderr());
}

#[test]
fn what_is_no_bundle_is_refused_and_nothing_is_unpacked() {
    let program = Program::new();
    let folder = program.path("inner");
    fs::create_dir(&folder).expect("a folder");
    let hostile = folder.join("hostile.zip");
    let refused = |reason: &str| {
        let ran = program.run(&["verify", text(&hostile)]);
        assert_eq!(ran.code(), 2, "{}", ran.stdout());
        assert!(ran.stderr().contains(reason), "{}", ran.stderr());
    };
    write_zip(&hostile, [("../evil.txt", &b"x"[..])].into_iter());
    refused("has a name that no bundle has");
    write_zip(
        &hostile,
        [("/tmp/touchstone-evil.txt", &b"x"[..])].into_iter(),
    );
    refused("has a name that no bundle has");
    write_zip(&hostile, [("photo.jpg", &b"x"[..])].into_iter());
    refused("\"bundle.json\" is missing");
    let record = br#"{"format": "touchstone evidence", "format_version": 99}"#;
    write_zip(&hostile, [("bundle.json", &record[..])].into_iter());
    refused("use a newer touchstone");
    fs::write(&hostile, b"no archive").expect("a file");
    refused("not a readable zip archive");
    fs::remove_file(&hostile).expect("removed");
    refused("hostile.zip");
    fs::create_dir(&hostile).expect("a folder");
    refused("not a file");
    assert!(!program.path("evil.txt").exists());
    assert!(!Path::new("/tmp/touchstone-evil.txt").exists());
}

#[test]
fn nothing_is_overwritten_and_one_bundle_is_of_one_photo() {
    let program = Program::new();
    let file = program.path("case.zip");
    fs::write(&file, b"mine").expect("a file");
    let ran = program.run(&["match", COPY, "--bundle", text(&file)]);
    assert_eq!(ran.code(), 2);
    assert!(
        ran.stderr().contains("is there already"),
        "{}",
        ran.stderr()
    );
    assert_eq!(fs::read(&file).expect("there"), b"mine");
    let other = program.path("other.zip");
    let ran = program.run(&["match", COPY, COPY, "--bundle", text(&other)]);
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr().contains("one photo"), "{}", ran.stderr());
    assert!(!other.exists());
}

/// No file may grow beyond 64 KiB here, enough for the database's own; it ends writing as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_leaves_no_half_written_evidence() {
    let program = Program::new();
    program.done(&["register", "fixtures/assets.csv"]);
    let folder = program.path("evidence");
    let bundle = program.path("evidence/case.zip");
    fs::create_dir(&folder).expect("a folder");
    let output = Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_touchstone"))
        .args([
            "match",
            "--json",
            COPY,
            "--evidence",
            text(&folder),
            "--bundle",
            text(&bundle),
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("TOUCHSTONE_HOME", program.path("home"))
        .output()
        .expect("the program starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.matches("the disk is full").count(), 2, "{stderr}");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer[0]["verdict"], "Flagged");
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 0);
}
