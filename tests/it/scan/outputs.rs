use std::fs::{self, File};

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{Scene, lasting};

#[test]
fn all_forms_hold_the_same_scan() {
    let scene = Scene::new();
    let manifest = scene.manifest(9);
    let outs = ["out.parquet", "out.csv", "out.html", "out.jsonl"].map(|name| scene.path(name));
    let mut more = Vec::new();
    for out in &outs[1..] {
        more.extend(["--out", out.as_str()]);
    }
    scene
        .program
        .done(&Scene::arguments(&manifest, &outs[0], &more));
    let rows = scene.rows("out.jsonl");
    let file = File::open(&outs[0]).expect("there");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
    let batches: Vec<RecordBatch> = reader
        .build()
        .expect("columns")
        .map(|batch| batch.expect("a batch"))
        .collect();
    assert_eq!(batches.len(), 1);
    let column = |name: &str| batches[0].column_by_name(name).expect("a column");
    let mut csv = csv::Reader::from_path(&outs[1]).expect("CSV");
    let header = csv.headers().expect("a header").clone();
    let key = header
        .iter()
        .position(|name| name == "key")
        .expect("a column");
    let csv_keys: Vec<_> = csv
        .records()
        .map(|r| r.expect("a row")[key].to_owned())
        .collect();
    assert_eq!(batches[0].num_rows(), rows.len());
    for (idx, row) in rows.iter().enumerate() {
        let text = |name: &str| column(name).as_string::<i32>().value(idx);
        for name in [
            "listing_id",
            "photo",
            "sha256",
            "verdict",
            "key",
            "model",
            "mark",
        ] {
            assert_eq!(row[name], text(name), "{name}");
        }
        let listing: serde_json::Value = serde_json::from_str(text("listing")).expect("JSON");
        assert_eq!(listing, row["listing"]);
        let findings = column("findings").as_list::<i32>().value(idx);
        assert_eq!(
            Some(findings.len()),
            row["findings"].as_array().map(Vec::len)
        );
        if !findings.is_empty() {
            let probabilities = findings
                .as_struct()
                .column_by_name("probability")
                .expect("one");
            let probability = probabilities.as_primitive::<Float64Type>().value(0);
            assert_eq!(
                row["findings"][0]["probability"].as_f64(),
                Some(probability)
            );
        }
        assert!(csv_keys.contains(&row["key"].as_str().expect("a key").to_owned()));
    }
    assert!(
        fs::read_to_string(&outs[2])
            .expect("a page")
            .contains("Oatly")
    );
    // The summary stands beside the rows, and nothing else is left.
    assert_eq!(scene.summary("out.jsonl")["n_photos"], rows.len());
    for left in ["out.parquet.part", "out.jsonl.part", "out.jsonl.part.json"] {
        assert!(!scene.program.path(left).exists(), "{left}");
    }
}

#[test]
fn a_form_alone_works_and_goes_to_standard_output_too() {
    let scene = Scene::new();
    let manifest = scene.manifest(3);
    let parquet = scene.path("only.parquet");
    scene
        .program
        .done(&Scene::arguments(&manifest, &parquet, &["--resume"]));
    assert!(fs::read(&parquet).expect("there").starts_with(b"PAR1"));
    assert_eq!(scene.summary("only.parquet")["n_photos"], 4);
    assert!(!scene.program.path("only.parquet.part").exists());
    let again = scene
        .program
        .done(&Scene::arguments(&manifest, &parquet, &["--resume"]));
    assert!(
        again.stderr().contains("already done"),
        "{}",
        again.stderr()
    );
    for (format, start) in [
        ("html", "<!doctype html>"),
        ("csv", "listing_id,"),
        ("jsonl", "{\""),
    ] {
        let ran = scene
            .program
            .done(&Scene::arguments(&manifest, "-", &["--format", format]));
        assert!(ran.stdout().starts_with(start), "{format}");
        assert!(ran.stdout().contains("Oatly"), "{format}");
    }
    let jsonl = scene.path("again.jsonl");
    scene
        .program
        .done(&Scene::arguments(&manifest, &jsonl, &[]));
    let direct = scene
        .program
        .done(&Scene::arguments(&manifest, "-", &[]))
        .stdout();
    let direct: Vec<_> = direct
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    assert_eq!(lasting(&direct), lasting(&scene.rows("again.jsonl")));
}

#[test]
fn what_cannot_be_written_is_told_before_the_work() {
    let scene = Scene::new();
    let manifest = scene.manifest(1);
    for (out, words) in [
        (scene.path("absent/out.jsonl"), "absent"),
        (scene.path("out.xyz"), "--format"),
        (scene.path("photos"), "--format"),
    ] {
        let ran = scene.program.run(&Scene::arguments(&manifest, &out, &[]));
        assert_eq!(ran.code(), 2);
        assert!(ran.stderr().contains(words), "{}", ran.stderr());
    }
    let out = scene.path("out.jsonl");
    let ran = scene
        .program
        .run(&Scene::arguments(&manifest, &out, &["--out", &out]));
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr().contains("given twice"), "{}", ran.stderr());
}
