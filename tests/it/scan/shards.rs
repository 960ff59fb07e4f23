use std::fs;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{COPY, PACK, Scene, lasting};

fn sorted(rows: Vec<Value>) -> Vec<Value> {
    let mut rows = lasting(&rows);
    rows.sort_by_key(|row| row["key"].as_str().map(str::to_owned));
    rows
}

#[test]
fn shards_together_are_the_whole_and_what_is_wrong_with_them_is_told() {
    let scene = Scene::new();
    let manifest = scene.manifest(24);
    // A bad line is in one of them, too, and a photo that is missing.
    let text = fs::read_to_string(&manifest).expect("the manifest");
    let text = text + "{broken\n{\"listing_id\":\"gone\",\"photos\":[\"gone.jpg\"]}\n";
    fs::write(&manifest, text).expect("a file");
    let whole = scene.path("whole.jsonl");
    assert_eq!(
        scene
            .program
            .run(&Scene::arguments(&manifest, &whole, &[]))
            .code(),
        1
    );
    let parts = [1, 2, 3].map(|i| scene.path(&format!("part-{i}.jsonl")));
    let scan = |i: usize| {
        let shard = format!("{i}/3");
        let arguments = Scene::arguments(&manifest, &parts[i - 1], &["--shard", &shard]);
        scene.program.run(&arguments)
    };
    for i in 1..=3 {
        assert!(scan(i).code() < 2);
        for row in scene.rows(&format!("part-{i}.jsonl")) {
            // The rule that other programs divide by.
            let id = row["listing_id"].as_str().expect("an id");
            let digest: [u8; 8] = Sha256::digest(id)[..8].try_into().expect("8 bytes");
            assert_eq!(u64::from_be_bytes(digest) % 3, i as u64 - 1, "{id}");
        }
    }
    assert!(scan(2).stderr().contains("already done"));

    let merged = scene.path("merged.jsonl");
    let merge = |out: &str, parts: &[&str]| {
        scene
            .program
            .run(&[&["scan", "merge", out][..], parts].concat())
    };
    let all: Vec<&str> = parts.iter().map(String::as_str).collect();
    let ran = merge(&merged, &all);
    assert_eq!(ran.code(), 1, "{}", ran.stderr());
    assert_eq!(
        sorted(scene.rows("merged.jsonl")),
        sorted(scene.rows("whole.jsonl"))
    );
    let summary = scene.summary("merged.jsonl");
    assert_eq!(
        summary["n_photos"],
        scene.summary("whole.jsonl")["n_photos"]
    );
    assert_eq!(
        (&summary["n_failed"], &summary["scan"]["shard"]),
        (&2.into(), &Value::Null)
    );
    for name in ["merged.csv", "merged.parquet", "merged.html"] {
        assert_eq!(merge(&scene.path(name), &all).code(), 1, "{name}");
        assert!(fs::metadata(scene.program.path(name)).expect("there").len() > 500);
    }
    let page = fs::read_to_string(scene.program.path("merged.html")).expect("a page");
    assert!(page.contains("data:image/jpeg"));

    let refused = |parts: &[&str], words: &str| {
        let ran = merge(&scene.path("no.jsonl"), parts);
        assert_eq!(ran.code(), 2, "{}", ran.stderr());
        assert!(ran.stderr().contains(words), "{words}: {}", ran.stderr());
        assert!(!scene.program.path("no.jsonl").exists());
    };
    refused(&[all[0], all[2]], "shards are missing: 2/3");
    refused(&[all[0], all[1], all[2], all[1]], "given twice");
    refused(&[&whole], "no shard");
    refused(&[&scene.path("absent.jsonl")], "is not finished");
    let second = fs::read_to_string(all[1]).expect("there");
    let (first_line, _) = second.split_once('\n').expect("rows");
    fs::write(all[1], format!("{second}{first_line}\n")).expect("a file");
    refused(&all, "its summary says");
    let of_first = fs::read_to_string(all[0]).expect("there");
    let n_lines = second.lines().count();
    let foreign: Vec<_> = of_first
        .lines()
        .take(1)
        .chain(second.lines().skip(1))
        .collect();
    assert_eq!(foreign.len(), n_lines);
    fs::write(all[1], foreign.join("\n") + "\n").expect("a file");
    refused(&all, "is not in shard 2/3");
    fs::write(all[1], &second).expect("a file");
    // One part made after something was registered.
    scene
        .program
        .done(&["register", COPY, "--brand", "Other", "--kind", "packaging"]);
    assert!(scan(2).code() < 2);
    refused(&all, "registry revision was");
}

#[test]
fn a_photo_that_stands_twice_in_the_source_is_merged_once() {
    let scene = Scene::new();
    let manifest = scene.manifest(3);
    let text = fs::read_to_string(&manifest).expect("the manifest");
    fs::write(&manifest, format!("{text}{text}")).expect("a file");
    let part = scene.path("part.jsonl");
    scene
        .program
        .done(&Scene::arguments(&manifest, &part, &["--shard", "1/1"]));
    let n_rows = scene.rows("part.jsonl").len();
    let merged = scene.path("merged.jsonl");
    let ran = scene.program.done(&["scan", "merge", &merged, &part]);
    assert!(ran.stderr().contains("stand twice"), "{}", ran.stderr());
    assert_eq!(scene.rows("merged.jsonl").len() * 2, n_rows);
}

#[test]
fn a_listing_at_two_sellers_of_whom_one_is_authorised_is_merged_twice() {
    let scene = Scene::new();
    let pack = fs::canonicalize(PACK).expect("a fixture");
    let assets = format!(
        "path,brand,asset,kind,authorised_sellers\n{},Brand,Pack,packaging,s-official\n",
        pack.display()
    );
    let home = scene.path("other-home");
    let assets = scene.write("assets.csv", &assets);
    scene.program.done(&["--home", &home, "register", &assets]);
    let photo = scene.photo("copy.jpg", COPY);
    let lines: String = ["s-official", "s-1", "s-official"]
        .iter()
        .map(|seller| {
            let line = json!({"listing_id": "L-1", "photos": [photo], "seller": {"id": seller}});
            format!("{line}\n")
        })
        .collect();
    let manifest = scene.write("listings.jsonl", &lines);
    let part = scene.path("part.jsonl");
    let arguments = Scene::arguments(&manifest, &part, &["--shard", "1/1"]);
    scene
        .program
        .done(&[&["--home", &home][..], &arguments].concat());
    let merged = scene.path("merged.jsonl");
    let ran = scene.program.done(&["scan", "merge", &merged, &part]);
    assert!(
        ran.stderr().contains("1 photos stand twice"),
        "{}",
        ran.stderr()
    );
    let rows = scene.rows("merged.jsonl");
    let verdicts: Vec<_> = rows.iter().map(|row| row["verdict"].as_str()).collect();
    assert_eq!(verdicts, [Some("Clear"), Some("Flagged")]);
}

#[test]
fn offers_of_one_id_that_differ_are_all_merged() {
    let scene = Scene::new();
    let photo = scene.photo("copy.jpg", COPY);
    let lines: String = ["Bag", "Bag, red", "Bag"]
        .iter()
        .map(|title| {
            let line = json!({"listing_id": "L-1", "photos": [photo], "title": title});
            format!("{line}\n")
        })
        .collect();
    let manifest = scene.write("listings.jsonl", &lines);
    let part = scene.path("part.jsonl");
    let arguments = Scene::arguments(&manifest, &part, &["--shard", "1/1"]);
    scene.program.done(&arguments);
    let merged = scene.path("merged.jsonl");
    scene.program.done(&["scan", "merge", &merged, &part]);
    let rows = scene.rows("merged.jsonl");
    let titles: Vec<_> = rows
        .iter()
        .map(|row| row["listing"]["title"].as_str())
        .collect();
    assert_eq!(titles, [Some("Bag"), Some("Bag, red")]);
}

#[test]
fn impossible_shards_are_refused() {
    let scene = Scene::new();
    let manifest = scene.manifest(1);
    for shard in ["0/3", "4/3", "x"] {
        let out = scene.path("out.jsonl");
        let ran = scene
            .program
            .run(&Scene::arguments(&manifest, &out, &["--shard", shard]));
        assert_eq!(ran.code(), 2);
        assert!(ran.stderr().contains("from 1 to N"), "{}", ran.stderr());
    }
}
