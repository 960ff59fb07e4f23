//! Recall floors on the labelled fixtures. When a change beats a floor, raise it.

use serde_json::Value;

use crate::cli::Program;

/// Figure and least value, of `eval` on all fixtures by brand.
const FLOORS: [(&str, f64); 5] = [
    ("recall_at_1", 0.90),
    ("micro_ap", 0.88),
    ("recall_at_p90", 0.84),
    ("recall_at_p99", 0.65),
    ("recall_at_fa1", 0.65),
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
