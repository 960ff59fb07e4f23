//! Recall floors on the labelled fixtures. When a change beats a floor, raise it.

use std::fs;

use serde_json::Value;

use crate::cli::{Program, json_lines};

/// Figure and least value, of `eval` on all fixtures by brand.
const FLOORS: [(&str, f64); 5] = [
    ("recall_at_1", 0.95),
    ("micro_ap", 0.94),
    ("recall_at_p90", 0.93),
    ("recall_at_p99", 0.70),
    ("recall_at_fa1", 0.70),
];

#[test]
fn fixtures_are_found_as_well_as_before() {
    let program = Program::new();
    let arguments = [
        "eval",
        "--assets",
        "fixtures/assets.csv",
        "--photos",
        "fixtures/photos.csv",
        "--json",
    ];
    let figures = program.done(&arguments).json();
    for (name, floor) in FLOORS {
        let value = figures[name]
            .as_f64()
            .unwrap_or_else(|| panic!("no {name} in {figures}"));
        assert!(
            value >= floor,
            "{name} is {value}, was at least {floor}: {figures}"
        );
    }
    for name in [
        "n_positive",
        "n_negative",
        "calibration_error",
        "ms_per_photo_p50",
        "ms_per_photo_p99",
        "photos_per_s",
    ] {
        assert!(figures[name].is_number(), "{name} is missing: {figures}");
    }
    assert_eq!(figures["n_failed"], Value::from(0));
}

/// Enough for a fit. Of the first two both a mark and a pack are registered, and photos of the pack are
/// labelled as that.
const FITTED_ON: [&str; 6] = [
    "Nordbukk", "Velloria", "Codeberg", "Korvana", "Rook", "Zapwell",
];

#[test]
fn a_judge_is_fitted_again_from_what_was_measured_and_no_label_calls_a_mark_on_a_pack_wrong() {
    let program = Program::new();
    let labels = fs::read_to_string("fixtures/photos.csv").expect("the fixtures");
    let (header, labels) = labels.split_once('\n').expect("a header");
    let root = env!("CARGO_MANIFEST_DIR");
    let chosen: Vec<String> = labels
        .lines()
        .filter(|line| FITTED_ON.iter().any(|brand| line.contains(brand)))
        .map(|line| format!("{root}/fixtures/{line}"))
        .collect();
    let at = |name: &str| program.path(name).to_str().expect("UTF-8").to_owned();
    let (photos, rows) = (at("photos.csv"), at("rows.jsonl"));
    fs::write(&photos, format!("{header}\n{}\n", chosen.join("\n"))).expect("written");

    let (first, again) = (at("first.json"), at("again.json"));
    let assets = ["--assets", "fixtures/assets.csv", "--photos", &photos];
    let out = ["--rows", &rows, "--out", &first];
    program.done(&[&["calibrate"][..], &assets, &out].concat());
    program.done(&["calibrate", "--refit", &rows, "--out", &again]);
    let read = |path: &str| fs::read_to_string(path).expect("a judge");
    assert_eq!(read(&first), read(&again));

    let rows = json_lines(rows.as_ref());
    let is_named_mark = |row: &&Value| {
        row["asset_kind"] == "logo" && row["measured"]["word_similarity"].as_f64() > Some(0.9)
    };
    let named: Vec<&Value> = rows.iter().filter(is_named_mark).collect();
    assert!(named.iter().any(|row| row["truth"] == "LogoPresent"));
    assert_eq!(named.iter().find(|row| row["truth"].is_null()), None);
}
