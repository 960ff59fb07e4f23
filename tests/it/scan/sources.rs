use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use super::{COPY, NOTHING, Scene, write_tar};

#[test]
fn standard_input_is_answered_line_by_line() {
    let scene = Scene::new();
    let copy = fs::canonicalize(COPY).expect("a fixture");
    let address = format!("file://{}", copy.display());
    let mut command = scene.program.command(&Scene::arguments("-", "-", &[]));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut to_child = child.stdin.take().expect("a pipe");
    let mut from_child = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut next = || -> Value {
        let mut line = String::new();
        from_child.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).expect("JSON")
    };
    // Each answer comes although nothing follows yet.
    for (id, photo) in [
        ("A", address.as_str()),
        ("B", "https://x.example/b.jpg"),
        ("C", NOTHING),
    ] {
        let line = json!({"listing_id": id, "photos": [photo], "colour": "red"});
        writeln!(to_child, "{line}").expect("it reads");
        let row = next();
        assert_eq!(row["listing_id"], id);
        assert_eq!(row["listing"]["colour"], "red");
        match id {
            "A" => assert_eq!(row["verdict"], "Flagged", "{row}"),
            "B" => assert!(
                row["error"].as_str().expect("text").contains("https"),
                "{row}"
            ),
            _ => assert_eq!(row["verdict"], "Clear", "{row}"),
        }
    }
    writeln!(to_child, "{{broken").expect("it reads");
    let row = next();
    assert_eq!(row["listing_id"], "standard input line 4");
    drop(to_child);
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
}

#[test]
fn a_reader_that_goes_ends_the_scan_quietly_though_more_could_come() {
    let scene = Scene::new();
    let mut command = scene.program.command(&Scene::arguments("-", "-", &[]));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut to_child = child.stdin.take().expect("a pipe");
    drop(child.stdout.take());
    writeln!(
        to_child,
        "{}",
        json!({"listing_id": "A", "photos": [NOTHING]})
    )
    .expect("it reads");
    // Standard input stays open.
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break status;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "it hangs");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(0));
    drop(to_child);
}

#[test]
fn a_reader_that_goes_does_not_end_a_scan_that_is_written_to_a_file_too() {
    let scene = Scene::new();
    let manifest = scene.manifest(3);
    let out = scene.path("out.jsonl");
    let arguments = Scene::arguments(&manifest, "-", &["--out", &out]);
    let mut command = scene.program.command(&arguments);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert_eq!(scene.rows("out.jsonl").len(), 4);
    assert_eq!(scene.summary("out.jsonl")["n_photos"], 4);
}

/// The members of an archive: one listing with fields and two photos, one with a photo alone, a damaged one.
/// A Parquet file of the listings in a manifest of JSON lines, their ids and photos.
fn write_parquet(path: &Path, manifest: &str) {
    let mut photos = ListBuilder::new(StringBuilder::new());
    let mut ids = StringBuilder::new();
    for line in fs::read_to_string(manifest).expect("there").lines() {
        let listing: Value = serde_json::from_str(line).expect("JSON");
        ids.append_value(listing["listing_id"].as_str().expect("text"));
        for photo in listing["photos"].as_array().expect("a list") {
            photos.values().append_value(photo.as_str().expect("text"));
        }
        photos.append(true);
    }
    let columns: [(&str, ArrayRef); 2] = [
        ("listing_id", Arc::new(ids.finish())),
        ("photos", Arc::new(photos.finish())),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("of one length");
    let file = File::create(path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a schema");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
}

#[test]
fn a_parquet_manifest_is_as_good_as_json_lines() {
    let scene = Scene::new();
    let manifest = scene.manifest(6);
    let table = scene.path("listings.parquet");
    write_parquet(Path::new(&table), &manifest);
    let verdicts = |source: &str, name: &str| -> Vec<_> {
        let out = scene.path(name);
        scene.program.done(&Scene::arguments(source, &out, &[]));
        let rows = scene.rows(name).into_iter();
        rows.map(|row| ["listing_id", "photo", "sha256", "verdict"].map(|name| row[name].clone()))
            .collect()
    };
    let expected = verdicts(&manifest, "from-lines.jsonl");
    assert_eq!(verdicts(&table, "from-table.jsonl"), expected);
    // Cut off, it is no manifest, and nothing that could be taken for a result comes of it.
    let bytes = fs::read(&table).expect("there");
    fs::write(&table, &bytes[..bytes.len() - 9]).expect("written");
    let out = scene.path("cut.jsonl");
    let ran = scene.program.run(&Scene::arguments(&table, &out, &[]));
    assert_eq!(ran.code(), 2, "{}", ran.stderr());
    assert!(!Path::new(&out).exists());
}

fn members() -> Vec<(&'static str, Vec<u8>)> {
    let read = |name: &str| fs::read(name).expect("a fixture");
    let fields = br#"{"listing_id":"L-7","seller":{"id":"s"},"colour":"red"}"#;
    vec![
        ("000001.json", fields.to_vec()),
        ("000001.copy.jpg", read(COPY)),
        ("000001.other.jpg", read(NOTHING)),
        ("000002.jpg", read(NOTHING)),
        ("000003.jpg", b"no picture".to_vec()),
    ]
}

fn write_zip(file: File) {
    let mut zip = zip::ZipWriter::new(file);
    for (name, bytes) in members() {
        zip.start_file(name, zip::write::SimpleFileOptions::default())
            .expect("written");
        zip.write_all(&bytes).expect("written");
    }
    zip.finish().expect("written");
}

#[test]
fn archives_are_scanned_without_unpacking_and_their_photos_are_on_the_page() {
    let scene = Scene::new();
    let create = |name: &str| File::create(scene.program.path(name)).expect("a file");
    write_tar(create("a.tar"), &members());
    write_zip(create("b.zip"));
    let packed = flate2::write::GzEncoder::new(create("c.tar.gz"), flate2::Compression::fast());
    write_tar(packed, &members());
    for (source, n_thumbnails) in [("a.tar", 2), ("b.zip", 2), ("c.tar.gz", 1)] {
        let (out, page) = (scene.path("out.jsonl"), scene.path("out.html"));
        let path = scene.path(source);
        let ran = scene
            .program
            .run(&Scene::arguments(&path, &out, &["--out", &page]));
        assert_eq!(ran.code(), 1, "{}", ran.stderr());
        let rows = scene.rows("out.jsonl");
        let ids: Vec<_> = rows.iter().map(|row| row["listing_id"].as_str()).collect();
        assert_eq!(
            ids,
            [Some("L-7"), Some("L-7"), Some("000002"), Some("000003")]
        );
        assert_eq!(rows[0]["verdict"], "Flagged", "{source}");
        assert_eq!(rows[0]["listing"]["colour"], "red");
        assert_eq!(rows[0]["photo"], format!("{path}/000001.copy.jpg"));
        assert!(rows[3]["error"].is_string());
        // The photo and the registered picture; of a packed archive only the picture.
        let text = fs::read_to_string(&page).expect("a page");
        assert_eq!(
            text.matches("data:image/jpeg").count(),
            n_thumbnails,
            "{source}"
        );
    }
    let out = scene.path("all.jsonl");
    let pattern = scene.path("[ab].*");
    assert_eq!(
        scene
            .program
            .run(&Scene::arguments(&pattern, &out, &[]))
            .code(),
        1
    );
    assert_eq!(scene.rows("all.jsonl").len(), 8);
    let ran = scene
        .program
        .run(&Scene::arguments(&scene.path("*.none"), &out, &[]));
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr().contains("no file fits"), "{}", ran.stderr());
}

#[test]
fn memory_does_not_grow_with_the_manifest() {
    let scene = Scene::new();
    let peak = |n_lines: usize| {
        let lines: String = (0..n_lines)
            .map(|idx| format!("{{\"listing_id\":\"L-{idx}\",\"photos\":[\"none-{idx}.jpg\"],\"title\":\"{}\"}}\n", "t".repeat(300)))
            .collect();
        let manifest = scene.write("long.jsonl", &lines);
        let out = scene.path("long-out.jsonl");
        let ran = scene.program.run(&Scene::arguments(&manifest, &out, &[]));
        assert_eq!(ran.code(), 1);
        // Told, but not all of them.
        assert!(
            ran.stderr().lines().count() < 200,
            "{}",
            ran.stderr().lines().count()
        );
        assert_eq!(scene.summary("long-out.jsonl")["n_failed"], n_lines);
        let peak = scene.summary("long-out.jsonl")["peak_memory_bytes"].as_u64();
        peak.expect("a number") >> 20
    };
    let (short, long) = (peak(500), peak(60_000));
    assert!(
        long < short + 24,
        "{short} MiB for 500 lines, {long} MiB for 60,000 of 20 MB"
    );
}
